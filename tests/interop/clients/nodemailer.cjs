// Sends a file's octets as they are: port, mode, CA (in NODE_EXTRA_CA_CERTS), sender, recipient, file.
const fs = require("node:fs");
const nodemailer = require("nodemailer");

const [port, mode, , from, to, file] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: mode === "tls",
  requireTLS: mode === "starttls",
  ignoreTLS: mode === "plain",
  name: "legacy.example",
  tls: { servername: "localhost" },
});
transport.sendMail({ envelope: { from, to: [to] }, raw: fs.readFileSync(file) }).then(
  (info) => console.log(info.response),
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
