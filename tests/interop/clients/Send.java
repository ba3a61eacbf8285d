import jakarta.mail.Message;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeMessage;
import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Properties;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Sends a file's octets as they are: port, mode, CA, sender, recipient, file. */
public final class Send {
    public static void main(String[] words) throws Exception {
        String mode = words[1];
        Properties settings = new Properties();
        settings.put("mail.transport.protocol", "smtp");
        settings.put("mail.smtp.host", "localhost");
        settings.put("mail.smtp.port", words[0]);
        settings.put("mail.smtp.localhost", "legacy.example");
        settings.put("mail.smtp.from", words[3]);
        settings.put("mail.smtp.allow8bitmime", "true");
        settings.put("mail.smtp.timeout", "20000");
        settings.put("mail.mime.allowutf8", "true");
        if (!mode.equals("plain")) {
            settings.put(mode.equals("tls") ? "mail.smtp.ssl.enable" : "mail.smtp.starttls.required", "true");
            settings.put("mail.smtp.ssl.checkserveridentity", "true");
            settings.put("mail.smtp.ssl.socketFactory", trusting(words[2]).getSocketFactory());
        }
        Session session = Session.getInstance(settings);
        byte[] octets = Files.readAllBytes(Path.of(words[5]));
        Message message = new MimeMessage(session, new ByteArrayInputStream(octets));
        try (Transport transport = session.getTransport()) {
            transport.connect();
            transport.sendMessage(message, new InternetAddress[] {new InternetAddress(words[4])});
        }
    }

    private static SSLContext trusting(String ca) throws Exception {
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (var pem = Files.newInputStream(Path.of(ca))) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
