//! The program in README.md is the example.

#[test]
fn the_readme_shows_the_example() {
    let (readme, example) = (include_str!("../README.md"), include_str!("../examples/controller.rs"));
    let program = example.split_once("\n\n").map_or(example, |(_, program)| program);
    assert!(readme.contains(&format!("```rust,no_run\n{program}```")), "copy the example into README.md");
}
