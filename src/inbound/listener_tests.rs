use super::*;

fn limits(connections: usize, connections_per_client: usize) -> Limits {
    let (command_timeout, data_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    Limits {
        message_size: 1,
        recipients: 1,
        connections,
        connections_per_client,
        command_timeout,
        data_timeout,
    }
}

#[test]
fn places_are_counted_in_all_and_per_client_and_given_back() {
    let admission = Admission::new(&limits(3, 2));
    let [a, b] = [1, 2].map(|n| Client::at([127, 0, 0, n].into()));
    let first = admission.enter(a);
    let second = admission.enter(a);
    assert!(first.is_some() && second.is_some());
    assert!(admission.enter(a).is_none(), "two for one client");
    let third = admission.enter(b);
    assert!(third.is_some());
    assert!(admission.enter(b).is_none(), "three in all");
    drop(first);
    assert!(admission.enter(a).is_some());
    drop((second, third));
    assert!(admission.clients.lock().unwrap().is_empty());
}

#[test]
fn users_of_this_host_are_told_apart() {
    let admission = Admission::new(&limits(10, 1));
    let [root, other] = [0, 1000].map(|uid| Client::Local { uid });
    let _first = admission.enter(root);
    assert!(admission.enter(root).is_none(), "one for one user");
    assert!(admission.enter(other).is_some());
}
