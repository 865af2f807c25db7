use expect_test::expect;
use proptest::prelude::*;

use super::super::fixture;
use super::*;

#[test]
fn one_alert_says_what_where_since_when_why_and_how_to_fix_it() {
    let alert = fixture::alert("0123");
    let notice = fixture::one(&alert, AlertState::Firing);
    expect!["[FIRING] high: es-1: /srv/es rests in plaintext on /dev/sdb"]
        .assert_eq(&subject(&notice));
    expect![[r"
        FIRING es-1: /srv/es rests in plaintext on /dev/sdb

        Severity:     high
        Check:        volume_encrypted
        Cluster:      prod
        Host:         es-1
        Host id:      11111111-2222-4333-8444-555555555555
        Path:         /srv/es
        Asset:        data:/srv/es
        Plaintext on: /dev/sdb, /dev/sdc
        Since:        2023-11-14 22:13:20 UTC

        Why it matters
          Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.

        How to fix it
          put dm-crypt under it:
            cryptsetup luksFormat /dev/sdb

        More: https://wiki.example.com/volume_encrypted
        Alert 0123
    "]]
    .assert_eq(&plain(&notice, Some("https://wiki.example.com/{check}")));
}

#[test]
fn a_reminder_says_that_it_is_one_and_how_it_ends() {
    let alert = fixture::alert("0123456789abcdef");
    let message = Message { alert: &alert, state: AlertState::Firing, repeat: 1 };
    let told = |message: &Message<'_>| {
        let facts = Story::of(message, None).facts;
        facts.into_iter().find(|(name, _)| *name == "Told before").map(|(_, value)| value)
    };
    let expected = "once; `atrestctl alert ack 0123456789ab` ends the reminders";
    assert_eq!(told(&message).as_deref(), Some(expected));
    assert_eq!(told(&Message { repeat: 0, ..message }), None);
}

#[test]
fn what_is_over_says_how_it_ended() {
    let mut alert = fixture::alert("0123");
    expect![[r"
        RESOLVED es-1: /srv/es rests in plaintext on /dev/sdb

        Severity:     high
        Check:        volume_encrypted
        Cluster:      prod
        Host:         es-1
        Host id:      11111111-2222-4333-8444-555555555555
        Path:         /srv/es
        Asset:        data:/srv/es
        Plaintext on: /dev/sdb, /dev/sdc
        Since:        2023-11-14 22:13:20 UTC
        Until:        2023-11-14 23:14:21 UTC (after 1h 1m 1s)

        Alert 0123
    "]]
    .assert_eq(&plain(&fixture::one(&alert, AlertState::Resolved), None));
    alert.end = Some(AlertEnd::HostRetired);
    let notice = fixture::one(&alert, AlertState::Resolved);
    let text = plain(&notice, None);
    assert!(text.starts_with("ENDED ") && text.contains("nobody saw it fixed"), "{text}");
    assert!(!text.contains("RESOLVED"), "{text}");
    assert!(subject(&notice).starts_with("[ENDED]"));
}

#[test]
fn a_storm_is_counts_the_worst_by_name_and_how_many_more() {
    let alerts = fixture::storm();
    let notice = fixture::told(&alerts);
    expect!["900 alerts firing, 100 resolved on 1000 hosts of prod"].assert_eq(&subject(&notice));
    let text = plain(&notice, None);
    let head: Vec<_> = text.lines().take(10).collect();
    expect![[r"
        900 alerts firing, 100 resolved on 1000 hosts of prod

        State:        900 alerts firing, 100 resolved
        Severity:     750 high, 250 medium
        Check:        750 volume_encrypted, 250 swap_encrypted
        Cluster:      1000 prod
        Hosts:        1000 hosts

        FIRING high: es-0001: /srv/es rests in plaintext on /dev/sdb [volume_encrypted]
        FIRING high: es-0002: /srv/es rests in plaintext on /dev/sdb [volume_encrypted]"]]
    .assert_eq(&head.join("\n"));
    let tail: Vec<_> = text.lines().skip(26).collect();
    expect![[r"
        FIRING high: es-0027: /srv/es rests in plaintext on /dev/sdb [volume_encrypted]
        FIRING high: es-0030: /srv/es rests in plaintext on /dev/sdb [volume_encrypted]
        and 980 more: `atrestctl alerts` lists them all

        swap_encrypted
          The kernel writes parts of the node's memory, with documents and keys in it, to swap areas. `bootstrap.memory_lock` keeps the heap out, not everything.
          How to fix one of them:
          put dm-crypt under it:
            cryptsetup luksFormat /dev/sdb

        volume_encrypted
          Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.
          How to fix one of them:
          put dm-crypt under it:
            cryptsetup luksFormat /dev/sdb"]]
    .assert_eq(&tail.join("\n"));
}

#[test]
fn a_long_text_is_cut_between_characters() {
    assert_eq!(short("añb", 3), "añb");
    assert_eq!(short("añbc", 3), "añ…");
    assert_eq!(short_bytes("añb", 2), "a");
    assert_eq!(short_bytes("añb", 3), "añ");
}

proptest! {
    #[test]
    fn nothing_that_steers_a_terminal_gets_through(alert in fixture::any_alert()) {
        for state in [AlertState::Firing, AlertState::Resolved] {
            let notice = fixture::one(&alert, state);
            let subject = subject(&notice);
            prop_assert!(!subject.contains(char::is_control), "{:?}", subject);
            let text = plain(&notice, None);
            prop_assert!(!text.contains(|char: char| char.is_control() && char != '\n'));
            let turns = text.contains(['\u{202e}', '\u{2066}', '\u{200b}']);
            prop_assert!(!turns);
            prop_assert!(text.chars().count() < 12_000);
        }
    }
}
