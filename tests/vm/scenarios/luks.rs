//! dm-crypt in all its forms, and what only looks like it.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("luks2", "luks2 a /dev/vda\next4 /dev/mapper/a /data").encrypted(),
    Scenario::new("luks1", "luks1 a /dev/vda\next4 /dev/mapper/a /data").encrypted(),
    Scenario::new("luks2-xfs", "luks2 a /dev/vda\nxfs /dev/mapper/a /data").encrypted(),
    Scenario::new(
        "luks2-on-partition",
        "partition /dev/vda 262144
        luks2 a /dev/vda1
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "luks2-detached-header",
        "truncate -s 16M /run/header
        cryptsetup luksFormat --type luks2 $fast --header /run/header /dev/vda
        cryptsetup open --header /run/header --key-file $key /dev/vda a
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "luks2-lost-header",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        dd if=/dev/zero of=/dev/vda bs=1M count=4 conv=notrunc status=none",
    )
    .encrypted(),
    Scenario::new(
        "luks2-cbc-essiv",
        "luks2 a /dev/vda --cipher aes-cbc-essiv:sha256 --key-size 256
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "luks2-key-in-the-table",
        "cryptsetup luksFormat --type luks2 $fast /dev/vda
        cryptsetup open --disable-keyring --key-file $key /dev/vda a
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "luks2-with-integrity",
        "partition /dev/vda 98304
        luks2 a /dev/vda1 --cipher aes-xts-plain64 --integrity hmac-sha256
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "luks-in-luks",
        "luks2 a /dev/vda\nluks2 b /dev/mapper/a\next4 /dev/mapper/b /data",
    )
    .encrypted(),
    Scenario::new("plain-dm-crypt", "crypt a /dev/vda\next4 /dev/mapper/a /data").encrypted(),
    Scenario::new(
        "null-cipher-table",
        "dmsetup create a --table \"0 $(sectors /dev/vda) crypt cipher_null-ecb - 0 /dev/vda 0\"
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["null_cipher"], &["/dev/vda"]),
    Scenario::new(
        "null-cipher-luks2",
        "luks2 a /dev/vda --cipher cipher_null-ecb
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["null_cipher"], &["/dev/vda"]),
    Scenario::new(
        "null-cipher-luks1",
        ": >/run/key
        luks1 a /dev/vda --cipher cipher_null-ecb
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["null_cipher"], &["/dev/vda"]),
    Scenario::new(
        "uuid-that-lies",
        "uuid=CRYPT-LUKS2-0123456789abcdef0123456789abcdef-a
        dmsetup create a --uuid $uuid --table \"0 $(sectors /dev/vda) linear /dev/vda 0\"
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "name-that-lies",
        "dmsetup create luks-0123 --table \"0 $(sectors /dev/vda) linear /dev/vda 0\"
        ext4 /dev/mapper/luks-0123 /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "uuid-that-denies",
        "luks2 a /dev/vda --cipher aes-xts-plain64
        cryptsetup close a
        cryptsetup open --disable-keyring --key-file $key /dev/vda a
        table=$(dmsetup table --showkeys a | head -n 1)
        cryptsetup close a
        dmsetup create a --uuid LVM-0123456789abcdef --table \"$table\"
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "one-table-two-segments",
        "half=65536
        printf '%s\\n' \"0 $half crypt aes-xts-plain64 $(hex 64) 0 /dev/vda 0\" \\
            \"$half $half linear /dev/vdb 0\" | dmsetup create a
        ext4 /dev/mapper/a /data",
    )
    .mib(45)
    .partial(&["plain_segment"], &["/dev/vdb"]),
    Scenario::new(
        "encryption-not-begun",
        "mkfs.ext4 -q -F -E nodiscard /dev/vda 256m
        cryptsetup reencrypt --encrypt --init-only --reduce-device-size 32M $fast /dev/vda a
        mkdir /data
        mount -t ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "null-cipher-in-kernel-words",
        "dmsetup create a --table \"0 $(sectors /dev/vda) crypt capi:ecb(cipher_null)-null - 0 /dev/vda 0\"
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["null_cipher"], &["/dev/vda"]),
    Scenario::new(
        "cipher-in-kernel-words",
        "dmsetup create a \\
            --table \"0 $(sectors /dev/vda) crypt capi:xts(aes)-plain64 $(hex 64) 0 /dev/vda 0\"
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "loop-aes",
        "dmsetup create a \\
            --table \"0 $(sectors /dev/vda) crypt aes:64-cbc-lmk $(hex 1024) 0 /dev/vda 0\"
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "luks2-damaged-header-is-not-repaired",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        # In the first of the two copies of the metadata: the library would repair it from the other.
        printf x | dd of=/dev/vda bs=1 seek=4200 conv=notrunc status=none
        head -c 65536 /dev/vda >/run/damaged",
    )
    .encrypted()
    .afterwards("head -c 65536 /dev/vda | cmp - /run/damaged"),
    Scenario::new(
        "luks2-suspended",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        put /data
        settle
        dmsetup suspend --nolockfs a",
    )
    .writing(&[])
    .asking(&["/data", "/dev/mapper/a"])
    .within(30)
    .encrypted(),
    Scenario::new(
        "luks2-frozen-file-system",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        put /data
        settle
        fsfreeze --freeze /data",
    )
    .writing(&[])
    .encrypted(),
    Scenario::new(
        "encryption-half-way",
        "mkfs.ext4 -q -F -E nodiscard /dev/vda 256m
        cryptsetup reencrypt --encrypt --init-only --reduce-device-size 32M $fast /dev/vda a
        ext4_kept /dev/mapper/a /data
        put /data
        settle
        reencrypt_until 'crypts 1' /dev/vda",
    )
    .writing(&[])
    .partial(&["plain_segment"], &["/dev/vda"]),
    Scenario::new(
        "encryption-half-way-reopened",
        "mkfs.ext4 -q -F -E nodiscard /dev/vda 256m
        cryptsetup reencrypt --encrypt --init-only --reduce-device-size 32M $fast /dev/vda a
        ext4_kept /dev/mapper/a /data
        put /data
        settle
        reencrypt_until 'crypts 1' /dev/vda
        umount /data
        cryptsetup close a
        cryptsetup open --key-file $key /dev/vda b
        ext4_kept /dev/mapper/b /data",
    )
    .writing(&[])
    .partial(&["plain_segment"], &["/dev/vda"]),
    Scenario::new(
        "decryption-half-way",
        "luks2 a /dev/vda --offset 16384
        ext4 /dev/mapper/a /data
        put /data
        settle
        reencrypt_until 'in_plaintext /dev/vda 24' /dev/vda --decrypt --header /run/header",
    )
    .writing(&[])
    .partial(&["plain_segment"], &["/dev/vda"]),
    Scenario::new(
        "reencryption-half-way",
        "luks2 a /dev/vda --luks2-keyslots-size 8M
        ext4 /dev/mapper/a /data
        cryptsetup reencrypt --init-only $fast /dev/vda
        reencrypt_until 'crypts 2' /dev/vda",
    )
    .encrypted(),
];
