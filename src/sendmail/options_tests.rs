use super::*;

fn read(line: &str) -> Result<Options, UsageError> {
    // '' stands for an empty word, _ for a blank in a word.
    let words = line.split_whitespace().map(|word| match word {
        "''" => String::new(),
        word => word.replace('_', " "),
    });
    parse("sendmail", words)
}

/// The options in short, each of those that are set.
fn shown(options: &Options) -> String {
    let mut parts = Vec::new();
    let mut add = |set: bool, text: String| {
        if set {
            parts.push(text);
        }
    };
    add(options.mode != Mode::Submit, format!("{:?}", options.mode));
    add(options.extract, "t".into());
    add(options.ignore_dots, "i".into());
    add(options.verbose, "v".into());
    add(options.sender.is_some(), format!("f={}", options.sender.as_deref().unwrap_or_default()));
    add(options.full_name.is_some(), format!("F={}", options.full_name.as_deref().unwrap_or_default()));
    let text = |value: Option<String>| value.unwrap_or_default();
    add(options.notify.is_some(), format!("N={}", text(options.notify.map(|n| n.to_string()))));
    add(options.ret.is_some(), format!("R={}", text(options.ret.map(|r| r.to_string()))));
    add(options.envid.is_some(), format!("V={}", text(options.envid.as_ref().map(ToString::to_string))));
    let config = options.config.as_ref().map(|path| path.display().to_string());
    add(options.config.is_some(), format!("C={}", text(config)));
    let aliases = options.aliases.as_ref().map(|path| path.display().to_string());
    add(options.aliases.is_some(), format!("A={}", text(aliases)));
    add(!options.operands.is_empty(), format!("to {}", options.operands.join("|")));
    parts.join(" ")
}

#[test]
fn what_callers_write() {
    let cases = [
        // PHP mail(), its sendmail_path by default and with the fifth argument.
        ("-t -i", "t i"),
        ("-t -i -fbounce@example.com", "t i f=bounce@example.com"),
        // Debian's cron; Vixie cron elsewhere.
        ("-FCronDaemon -i -odi -oem -oi -t -f root", "t i f=root F=CronDaemon"),
        ("-FCronDaemon -i -B8BITMIME -oem root", "i F=CronDaemon to root"),
        // s-nail, bsd-mailx, mutt.
        ("-i -m root", "i to root"),
        ("-oem -oi -f x@y -- a@b", "i f=x@y to a@b"),
        ("-oem -i -f x@y -- a@b c@d", "i f=x@y to a@b|c@d"),
        // git send-email, Perl's MIME::Lite, Ruby's mail, Python's djangos.
        ("-f x@y -i a@b", "i f=x@y to a@b"),
        ("-t -oi -oem", "t i"),
        ("-i -t", "t i"),
        ("-ti", "t i"),
        ("-it -f '' -- a@b", "t i f= to a@b"),
        ("-tif x@y", "t i f=x@y"),
        ("-tifx@y a@b", "t i f=x@y to a@b"),
        ("-f <> a@b", "f=<> to a@b"),
        ("-rx@y a@b", "f=x@y to a@b"),
        ("-r x@y a@b", "f=x@y to a@b"),
        ("-f first -f last", "f=last"),
        ("-F Full_Name -f x@y a@b", "f=x@y F=Full Name to a@b"),
        ("-FFull_Name", "F=Full Name"),
        ("-v -bm a@b", "v to a@b"),
        ("-bs", "Smtp"),
        ("-bp", "ListQueue"),
        ("-b p", "ListQueue"),
        ("-vbp", "ListQueue v"),
        ("-bi", "Aliases"),
        ("-I", "Aliases"),
        ("-q", "Flush"),
        ("-q30m", "Flush"),
        ("-qRexample.com", "Flush"),
        ("-vq", "Flush v"),
        ("-N success,delay a@b", "N=SUCCESS,DELAY to a@b"),
        ("-Nnever -Rhdrs -VQQ1 a@b", "N=NEVER R=HDRS V=QQ1 to a@b"),
        ("-V a=b", "V=a+3Db"),
        ("-V a+3Db", "V=a+3Db"),
        ("-C some.toml -t", "t C=some.toml"),
        ("-Csome.toml", "C=some.toml"),
        ("--config some.toml -t", "t C=some.toml"),
        ("--config=some.toml a@b", "C=some.toml to a@b"),
        ("--help", "Help"),
        ("-?", "Help"),
        ("--version", "Version"),
        // Options that are passed over, with what is theirs.
        ("-Am -Ac -A m a@b", "to a@b"),
        ("-B 8BITMIME -B7BIT a@b", "to a@b"),
        ("-G -U -n -m -c -x a@b", "to a@b"),
        ("-GUnmt a@b", "t to a@b"),
        ("-h 5 -h5 -L tag -Ltag -M id -p SMTP:host a@b", "to a@b"),
        ("-O DeliveryMode=b -OTimeout=1s a@b", "to a@b"),
        ("-X log -d -d0.1 -D -e m -em a@b", "to a@b"),
        ("-oi -o i -odb -oee -om -oQ/dir -o7 a@b", "i to a@b"),
        ("-oMr smtp -oMa 192.0.2.1 -oMs host a@b", "to a@b"),
        ("-oMrsmtp a@b", "to a@b"),
        ("-oAfile a@b", "A=file to a@b"),
        ("-oA file a@b", "A=file to a@b"),
        // Where the options end.
        ("a@b -f x@y", "to a@b|-f|x@y"),
        ("-- -f x@y", "to -f|x@y"),
        ("-t --", "t"),
        ("-", "to -"),
        ("", ""),
    ];
    for (line, wanted) in cases {
        let options = read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(shown(&options), wanted, "{line}");
    }
}

#[test]
fn what_makes_no_sense_names_the_option() {
    let cases = [
        ("-Z", "-Z"),
        ("-tZ", "-Z"),
        ("--recipients", "--recipients"),
        ("--help=x", "--help=x"),
        ("-f", "-f wants"),
        ("-t -F", "-F wants"),
        ("--config", "--config wants"),
        ("-bd", "waxseal serve"),
        ("-bd -q15m", "waxseal serve"),
        ("-bv a@b", "-bv"),
        ("-bpv", "-bpv"),
        ("-N sometimes", "-N takes"),
        ("-N never,success", "-N takes"),
        ("-R body", "-R takes"),
        ("-V ''", "-V takes"),
        ("-V ü", "-V takes"),
    ];
    for (line, part) in cases {
        let error = read(line).expect_err(line);
        assert!(error.0.contains(part), "{line}: {error}");
    }
}

#[test]
fn other_names_are_modes() {
    let named = |name| parse(name, Vec::new()).unwrap().mode;
    assert_eq!((named("mailq"), named("newaliases")), (Mode::ListQueue, Mode::Aliases));
    assert_eq!(parse("mailq", ["-q".to_owned()]).unwrap().mode, Mode::Flush);
}
