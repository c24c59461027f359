//! The definition in the repository is the one that the types make.

#[test]
fn the_file_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/imagebuilds.yaml");
    let stored = std::fs::read_to_string(path).unwrap();
    assert!(stored == slipway_crds::definition_yaml().unwrap(), "{path} is stale: run `cargo xtask gen`");
}

#[test]
fn every_field_of_the_spec_is_described() {
    let definition = serde_json::to_value(slipway_crds::definition()).unwrap();
    let spec =
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    for (name, schema) in spec.as_object().unwrap() {
        assert!(schema["description"].is_string(), "spec.{name} has no description");
    }
}
