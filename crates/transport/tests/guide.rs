//! The guide to transports says what is so.

#[test]
fn the_guide_prints_the_example_as_it_is() {
    let guide = include_str!("../../../docs/transports.md");
    let example = include_str!("../examples/custom_transport.rs");
    assert!(
        guide.contains(&format!("```rust\n{example}```")),
        "copy examples/custom_transport.rs to docs/transports.md"
    );
}

#[test]
fn the_guide_names_every_rule() {
    let guide = include_str!("../../../docs/transports.md");
    for rule in darkchat_transport::conformance::Rule::ALL {
        assert!(guide.contains(&format!("| `{rule:?}` |")), "{rule:?} is not in the guide");
    }
}
