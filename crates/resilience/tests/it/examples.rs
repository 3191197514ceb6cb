//! The examples of the crate's page do what they say.

#[path = "../../examples/client.rs"]
mod client;
#[path = "../../examples/handler.rs"]
mod handler;

#[test]
fn a_client_is_guarded() {
    client::main();
}

#[test]
fn a_handler_is_guarded() {
    handler::main();
}
