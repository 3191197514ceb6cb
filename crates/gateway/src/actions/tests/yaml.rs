//! YAML to JSON, as far as the guide's examples go.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value as Json};

/// The one document of a text.
pub(super) fn read(text: &str) -> Json {
    let mut events = Parser::new_from_str(text);
    loop {
        match next(&mut events) {
            Event::StreamStart | Event::DocumentStart(_) => {}
            event => return node(event, &mut events),
        }
    }
}

fn next<'t>(events: &mut Parser<'t, StrInput<'t>>) -> Event<'t> {
    events.next().expect("it is not at its end").expect("it is YAML").0
}

fn node<'t>(event: Event<'t>, events: &mut Parser<'t, StrInput<'t>>) -> Json {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => {
            serde_json::from_str(&text).unwrap_or_else(|_| Json::from(&*text))
        }
        Event::Scalar(text, ..) => Json::from(&*text),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next(events) {
                    Event::SequenceEnd => return Json::Array(items),
                    event => items.push(node(event, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut members = Map::new();
            loop {
                match next(events) {
                    Event::MappingEnd => return Json::Object(members),
                    Event::Scalar(key, ..) => {
                        let event = next(events);
                        members.insert(key.to_string(), node(event, events));
                    }
                    event => panic!("{event:?} is no key"),
                }
            }
        }
        event => panic!("{event:?} has no place in an example"),
    }
}
