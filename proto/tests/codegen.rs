//! The generated code in `src/gen` is committed, so that nobody needs protoc or this step to build.
//! This test regenerates it and compares. `ATREST_BLESS=1` writes it instead.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test: it fails by panicking, and reads its own files"
)]

use std::path::{Path, PathBuf};

use prost::Message as _;

const PROTOS: &[&str] = &[
    "atrest/v1/posture.proto",
    "atrest/v1/agent_service.proto",
    "atrest/v1/alert_service.proto",
    "atrest/v1/audit_service.proto",
    "atrest/v1/fleet_service.proto",
    "atrest/v1/node_service.proto",
    "atrest/v1/operator_service.proto",
];

fn compile(root: &Path, comments: bool) -> prost_types::FileDescriptorSet {
    let mut compiler = protox::Compiler::new([root]).expect("proto root");
    compiler.include_imports(true).include_source_info(comments);
    for proto in PROTOS {
        compiler.open_file(proto).unwrap_or_else(|error| panic!("{proto}: {error:?}"));
    }
    compiler.file_descriptor_set()
}

fn generate(into: &Path) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // Without comments for the reflection service; with them for the generated documentation.
    let descriptors = compile(&root, false);
    std::fs::write(into.join("descriptor.bin"), descriptors.encode_to_vec())
        .expect("write the descriptor set");
    tonic_prost_build::configure()
        .btree_map(".")
        .out_dir(into)
        .compile_fds(compile(&root, true))
        .expect("generate");
}

#[test]
fn generated_code_is_what_the_protos_say() {
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/gen");
    if std::env::var_os("ATREST_BLESS").is_some() {
        generate(&committed);
        return;
    }
    let fresh = tempfile::tempdir().expect("a temporary directory");
    generate(fresh.path());
    for name in ["atrest.v1.rs", "descriptor.bin"] {
        let want = std::fs::read(fresh.path().join(name)).expect("generated");
        let have = std::fs::read(committed.join(name)).expect("committed");
        assert!(want == have, "{name} is out of date: run `make proto`");
    }
}
