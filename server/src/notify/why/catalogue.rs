//! Generated from the agent's catalogue; a test holds it to that. Do not edit.
//! `ATREST_BLESS=1 cargo test -p atrest-tests --test it catalogue` writes it.

#[rustfmt::skip]
pub(super) const CHECKS: &[(&str, &str)] = &[
    (
        "volume_encrypted",
        "Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.",
    ),
    (
        "swap_encrypted",
        "The kernel writes parts of the node's memory, with documents and keys in it, to swap areas. `bootstrap.memory_lock` keeps the heap out, not everything.",
    ),
    (
        "hibernation_encrypted",
        "Hibernation writes all of memory to disk: documents, keys of the node, and the volume keys of every open dm-crypt device. The image stays there until it is overwritten, also after the machine has woken up.",
    ),
    (
        "core_dumps_contained",
        "A core dump holds the memory of the node, with documents, passwords and keys in it. A dump of the kernel holds all memory of the machine, volume keys included.",
    ),
    (
        "cipher_strength",
        "A device that goes through dm-crypt is no safer than its cipher. The null cipher does nothing, ECB shows which blocks are equal, a foreseeable IV lets a planted file be recognised, and blocks of 64 bits repeat within a large disk. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.",
    ),
    (
        "reencryption_complete",
        "A re-encryption that was interrupted is easily forgotten: the device works, has a LUKS header, and holds plaintext where it did not get to. One from key to key keeps the old key in use.",
    ),
    (
        "luks_kdf",
        "Whoever has the disk tries passphrases at the speed that the key derivation allows, on as many machines as he likes. Headers of old installations allow thousands a second.",
    ),
    (
        "luks_keyslots",
        "A keyslot that nobody remembers is a key that nobody guards. A volume that only a TPM or a Tang server opens is lost with that hardware, and one without any keyslot with the next reboot.",
    ),
    (
        "luks_header",
        "A volume stays open when its header is overwritten, and nobody notices until the next reboot, when all data is lost. A header of another volume in its place is as bad.",
    ),
    (
        "key_file_exposed",
        "A key file on a plain disk, or in an initramfs on a plain /boot, goes with the disk: whoever takes it opens the volume without a passphrase. What it opens is then encrypted in name only.",
    ),
    (
        "boot_intent",
        "A volume that crypttab names and that is not open, or a mount from another device than fstab says, is often the first sign that data goes to a plain disk. A volume that was opened by hand is gone after a reboot, and the node then writes into the empty directory below its mount point.",
    ),
    (
        "volume_key_exposed",
        "A key in the table is printed by `dmsetup table --showkeys` for every root shell, and a support bundle or a log may carry it off. Whoever has it reads the disk for ever: changing the passphrase does not change it. A key in the keyring is in the kernel's memory all the same, but nobody can ask for it.",
    ),
    (
        "crypt_suspended",
        "Whatever reads or writes a suspended device hangs until it is resumed, and a node on it drops out of its cluster. After `cryptsetup luksSuspend` the key is gone from memory: the data is as safe as on a closed device, and as far away.",
    ),
    (
        "discards_allowed",
        "Discarded blocks read as zeros on many disks. Whoever has the disk sees which blocks are in use, and from that how full it is, which file system it holds, and how its files lie. The contents stay encrypted, and SSDs last longer: where that matters more, say so in the policy (accept_discards).",
    ),
    (
        "spare_encrypted",
        "When a member of an array fails, the kernel rebuilds its contents onto a spare at once and asks nobody. If the members are dm-crypt devices and the spare is a bare disk, that is where the plaintext goes.",
    ),
    (
        "names_exposed",
        "Encryption of single files may leave names, sizes and the shape of the directories readable. Index UUIDs, shard numbers, snapshot names and the names of log files tell what a cluster holds and when.",
    ),
    (
        "symlink_leaves",
        "A symbolic link below an encrypted path, to an index or a log that was moved when the disk was full, takes what is written there to another volume. The proof of the path does not see it.",
    ),
    (
        "keystore_permissions",
        "A keystore without a password opens for anyone who can read the file, and whoever can write to a directory above it can put another keystore in its place.",
    ),
    (
        "keystore_password",
        "Without a password the entries are only obfuscated: whoever has the file, or a backup of it, has every secret in it. Its strength then rests on the file's mode and on the encryption of the disk alone.",
    ),
    (
        "keystore_format",
        "The oldest formats never used a password; those up to version 5 stretch it with 10,000 iterations only, a hundredth of what is advised today. Packages do not upgrade a keystore that has a password.",
    ),
    (
        "keystore_at_rest",
        "A keystore holds the passwords and keys of the cluster. One without a password is as open as its disk, and a password can be tried at leisure on a copy.",
    ),
    (
        "keystore_leftovers",
        "Interrupted saves, backups, and what editors and package managers leave hold the same secrets, or older ones that still work. Nobody changes their mode or their password when those of the keystore are changed.",
    ),
    (
        "plaintext_secret",
        "A password or key in a settings file goes wherever the file goes: into backups, images, tickets and onto discarded disks. The keystores exist so that it does not have to stand there.",
    ),
    (
        "kibana_saved_objects_key",
        "Connectors, alerting rules and Fleet keep passwords and API keys in saved objects. Without a key that stays, Kibana makes one at each start and cannot read them again; with one that everybody knows they are open to whoever reads the index.",
    ),
    (
        "cluster_state_encryption",
        "Features keep passwords and keys of other systems in the cluster state, which lies in path.data on every node. Since 9.5 Elasticsearch encrypts them, unless it is told that it need not.",
    ),
    (
        "repository_encrypted",
        "A snapshot is a copy of the data outside the node's own encrypted disk. Whoever gets at the bucket, share or disk reads it, for as long as it is kept.",
    ),
    (
        "repository_key",
        "What a provider encrypts with a key of its own, it also decrypts for everybody whom it lets in: nobody can withdraw that key. A key that is disabled or about to be deleted takes the snapshots with it.",
    ),
    (
        "repository_old_objects",
        "A default binds what is written after it was set. Snapshots are incremental: segments of the first one are kept for as long as any snapshot needs them, as they were written.",
    ),
    (
        "service_drift",
        "Where the files name another directory than the running node uses, the node will write somewhere else after its next start, perhaps to a volume that nobody looked at, or it writes now where nobody expects it to. A report on one of the two says nothing of the other.",
    ),
    (
        "agent_sight",
        "What was not looked at is not proven. A report with gaps must not read like one without.",
    ),
];
