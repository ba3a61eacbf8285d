# Sends a file's octets as they are: port, mode, CA, sender, recipient, file.
use strict;
use warnings;
use Net::SMTP;

my ($port, $mode, $ca, $from, $to, $file) = @ARGV;
my $content = do {
    open my $octets, "<:raw", $file or die "$file: $!";
    local $/;
    <$octets>;
};
my %tls = (SSL_ca_file => $ca, SSL_verify_mode => 1, SSL_verifycn_name => "localhost", SSL_verifycn_scheme => "smtp");
my $smtp = Net::SMTP->new(
    "127.0.0.1", Port => $port, Hello => "legacy.example", Timeout => 20,
    $mode eq "tls" ? (SSL => 1, %tls) : (),
) or die "no connection: $@";
if ($mode eq "starttls") {
    $smtp->starttls(%tls) or die "STARTTLS: " . $smtp->message . " $@";
}
$smtp->mail($from, Bits => 8) && $smtp->to($to) && $smtp->data($content) or die $smtp->code . " " . $smtp->message;
$smtp->quit;
