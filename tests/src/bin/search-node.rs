//! A process that answers as a search node would: see `atrest_tests::search_node`.

fn main() -> anyhow::Result<()> {
    atrest_tests::search_node::serve()
}
