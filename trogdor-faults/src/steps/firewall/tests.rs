//! The commands as text. What they do to packets is tested where there are packets to drop.

use super::*;
use crate::tools::shown;

fn step(firewall: Firewall, ports: &[u16]) -> DropPackets {
    let peer = |node: &str, addresses: &[&str], arriving, leaving| Peer {
        node: NodeName::from(node),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        arriving,
        leaving,
    };
    DropPackets {
        id: "0badcafe".to_owned(),
        firewall,
        through: Vec::new(),
        peers: vec![peer("b", &["10.0.0.2", "fd00::2"], true, true), peer("c", &["10.0.0.3"], true, false)],
        ports: ports.iter().copied().collect(),
        open: BTreeSet::from([8888, 8889]),
    }
}

#[test]
fn one_transaction_of_nft_makes_a_table_of_its_own() {
    let expected = [
        "add table inet trogdor_0badcafe",
        "add chain inet trogdor_0badcafe arriving { type filter hook prerouting priority -150; policy accept; }",
        "add rule inet trogdor_0badcafe arriving tcp sport { 8888, 8889 } accept",
        "add rule inet trogdor_0badcafe arriving tcp dport { 8888, 8889 } accept",
        "add rule inet trogdor_0badcafe arriving icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        "add rule inet trogdor_0badcafe arriving ip saddr { 10.0.0.2, 10.0.0.3 } counter drop",
        "add rule inet trogdor_0badcafe arriving ip6 saddr { fd00::2 } counter drop",
        "add chain inet trogdor_0badcafe leaving { type filter hook postrouting priority -150; policy accept; }",
        "add rule inet trogdor_0badcafe leaving tcp sport { 8888, 8889 } accept",
        "add rule inet trogdor_0badcafe leaving tcp dport { 8888, 8889 } accept",
        "add rule inet trogdor_0badcafe leaving icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        "add rule inet trogdor_0badcafe leaving ip daddr { 10.0.0.2 } counter drop",
        "add rule inet trogdor_0badcafe leaving ip6 daddr { fd00::2 } counter drop",
    ];
    let trial = nft::trial(&step(Firewall::Nft, &[]));
    assert_eq!(trial[..2], ["nft", "--check"]);
    assert_eq!(trial[2], expected.join("; "));
}

#[test]
fn chains_of_iptables_are_entered_when_they_are_complete() {
    let shown = |firewall, ports: &[u16]| -> Vec<String> {
        iptables::commands(&step(firewall, ports)).iter().map(|argv| shown(argv)).collect()
    };
    let commands = |stem: &str, rows: &[&str]| -> Vec<String> {
        rows.iter()
            .map(|row| format!("{stem} -w 5 -t mangle {}", row.replace("OWN", "trogdor-0badcafe")))
            .collect()
    };
    let v4 = [
        "-N OWN-in",
        "-A OWN-in -p tcp -m multiport --ports 8888,8889 -j RETURN",
        "-A OWN-in -s 10.0.0.2/32 -p tcp -m multiport --ports 9092 -j DROP",
        "-A OWN-in -s 10.0.0.2/32 -p udp -m multiport --ports 9092 -j DROP",
        "-A OWN-in -s 10.0.0.3/32 -p tcp -m multiport --ports 9092 -j DROP",
        "-A OWN-in -s 10.0.0.3/32 -p udp -m multiport --ports 9092 -j DROP",
        "-I PREROUTING -j OWN-in",
        "-N OWN-out",
        "-A OWN-out -p tcp -m multiport --ports 8888,8889 -j RETURN",
        "-A OWN-out -d 10.0.0.2/32 -p tcp -m multiport --ports 9092 -j DROP",
        "-A OWN-out -d 10.0.0.2/32 -p udp -m multiport --ports 9092 -j DROP",
        "-I POSTROUTING -j OWN-out",
    ];
    assert_eq!(shown(Firewall::Iptables, &[9092]), commands("iptables", &v4));
    let v6 = |chain: &str, hook: &str, end: &str| {
        [
            format!("-N OWN-{chain}"),
            format!("-A OWN-{chain} -p tcp -m multiport --ports 8888,8889 -j RETURN"),
            format!("-A OWN-{chain} -p icmpv6 --icmpv6-type neighbour-solicitation -j RETURN"),
            format!("-A OWN-{chain} -p icmpv6 --icmpv6-type neighbour-advertisement -j RETURN"),
            format!("-A OWN-{chain} {end} fd00::2/128 -j DROP"),
            format!("-I {hook} -j OWN-{chain}"),
        ]
    };
    let v6 = [v6("in", "PREROUTING", "-s"), v6("out", "POSTROUTING", "-d")].concat();
    let v6: Vec<_> = v6.iter().map(String::as_str).collect();
    assert_eq!(shown(Firewall::Ip6tables, &[]), commands("ip6tables", &v6));
}

#[test]
fn more_ports_than_one_rule_takes_make_more_rules() {
    let ports: Vec<u16> = (1..=16).collect();
    let step = DropPackets { open: BTreeSet::new(), ..step(Firewall::Ip6tables, &ports) };
    let lines: Vec<_> = iptables::commands(&step).iter().map(|argv| shown(argv)).collect();
    let of =
        |ports: &str| lines.iter().filter(|line| line.contains(&format!("--ports {ports} -j DROP"))).count();
    // TCP and UDP, in and out.
    assert_eq!((of("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"), of("16")), (4, 4), "{lines:#?}");
}

#[test]
fn a_step_tells_who_is_cut_and_how_that_is_undone() {
    let rows = [
        (
            step(Firewall::Nft, &[]),
            "drop packets from and to b (10.0.0.2, fd00::2); and from c (10.0.0.3) (nft table inet \
             trogdor_0badcafe)",
            "nft 'add table inet trogdor_0badcafe; delete table inet trogdor_0badcafe'",
        ),
        (
            step(Firewall::Ip6tables, &[9092, 9093]),
            "drop packets from and to b (fd00::2), only TCP and UDP with port 9092, 9093 (ip6tables chains \
             trogdor-0badcafe-in and trogdor-0badcafe-out)",
            "ip6tables -w 5 -t mangle -D PREROUTING -j trogdor-0badcafe-in; \
             ip6tables -w 5 -t mangle -F trogdor-0badcafe-in; ip6tables -w 5 -t mangle -X trogdor-0badcafe-in; \
             ip6tables -w 5 -t mangle -D POSTROUTING -j trogdor-0badcafe-out; \
             ip6tables -w 5 -t mangle -F trogdor-0badcafe-out; ip6tables -w 5 -t mangle -X trogdor-0badcafe-out",
        ),
    ];
    for (step, what, undo) in rows {
        assert_eq!(step.what(), what);
        assert_eq!(step.undo_text().as_deref(), Some(undo));
    }
    let through =
        DropPackets { through: vec!["sudo".to_owned(), "-n".to_owned()], ..step(Firewall::Nft, &[]) };
    assert_eq!(through.program(), "sudo -n nft");
    assert_eq!(nft::trial(&through)[..4], ["sudo", "-n", "nft", "--check"]);
}
