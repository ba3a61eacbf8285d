//! Senders to accounts, over ten thousand domains.

use criterion::{Criterion, Throughput};
use std::hint::black_box;
use waxseal::{
    account::{
        Account, AccountId, AccountType, Delivery, DomainPattern, Login, Pacing, SecurityMode, SenderPolicy,
        Server, routing::Routes,
    },
    mail::ReversePath,
};

const DOMAINS: usize = 10_000;
const ACCOUNTS: usize = 100;

/// An account for every hundredth domain, and for whatever is below those.
fn account(number: usize) -> Account {
    let own = (0..DOMAINS).filter(|domain| domain % ACCOUNTS == number);
    let pattern = |domain: usize| {
        let text = if domain.is_multiple_of(2) { "" } else { "*." };
        DomainPattern::parse(&format!("{text}tenant-{domain}.example.com")).unwrap()
    };
    Account {
        id: AccountId::new(&format!("account-{number}")),
        name: format!("account {number}"),
        description: String::new(),
        active: true,
        application: None,
        kind: AccountType::Basic,
        domains: own.map(pattern).collect(),
        senders: Vec::new(),
        default: number == 0,
        server: Server {
            host: "smtp.example.com".into(),
            port: 587,
            security: SecurityMode::StartTls,
            allow_plaintext_authentication: false,
            certificate_validation: true,
            ca_file: None,
        },
        login: Login::None,
        sender: SenderPolicy::Keep,
        pacing: Pacing {
            max_connections: 1,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        },
        delivery: Delivery::Queue,
    }
}

pub fn route(criterion: &mut Criterion) {
    let routes = Routes::new(&(0..ACCOUNTS).map(account).collect::<Vec<_>>());
    let mut group = criterion.benchmark_group("route among 10000 domains");
    group.throughput(Throughput::Elements(1));
    for (name, sender) in [
        ("by domain", "app@tenant-4712.example.com"),
        ("by wildcard", "app@host.floor-3.tenant-4711.example.com"),
        ("by default", "app@elsewhere.example.net"),
        ("null", ""),
    ] {
        let sender = ReversePath::parse(sender).unwrap();
        group.bench_function(name, |b| b.iter(|| routes.route(None, black_box(&sender)).unwrap()));
    }
    group.finish();
}
