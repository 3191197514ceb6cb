//! The value of an expression for what it is about.

use std::cmp::Ordering;
use std::rc::Rc;

use super::parse::{Binary, Each, Function, Kind, Node};
use super::value::{Text, Value, compare_numbers, member};
use super::{Error, Subject};

/// What is left of the work that may be done.
pub(super) struct Steps<'s>(&'s mut u64);

impl Steps<'_> {
    pub(super) fn take(&mut self, steps: u64) -> Result<(), Error> {
        match self.0.checked_sub(steps) {
            Some(left) => *self.0 = left,
            None => {
                *self.0 = 0;
                return Err(Error::Steps);
            }
        }
        Ok(())
    }

    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.take((bytes / 32) as u64)
    }
}

pub(super) fn holds<S: Subject + ?Sized>(root: &Node, subject: &S, steps: &mut u64) -> Result<bool, Error> {
    match value(root, subject, steps)? {
        Value::Bool(result) => Ok(result),
        other => Err(Error::NotBool { found: other.kind() }),
    }
}

pub(super) fn value<'a, S: Subject + ?Sized>(
    root: &'a Node,
    subject: &'a S,
    steps: &mut u64,
) -> Result<Value<'a>, Error> {
    Evaluation { subject, steps: Steps(steps), locals: Vec::new() }.value(root)
}

struct Evaluation<'a, 's, S: ?Sized> {
    subject: &'a S,
    steps: Steps<'s>,
    /// The variables of the macros around.
    locals: Vec<Value<'a>>,
}

fn failed<T>(reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Failed(reason.into()))
}

fn no_overload<T>(operation: &str, of: &[&Value<'_>]) -> Result<T, Error> {
    let kinds: Vec<_> = of.iter().map(|value| value.kind()).collect();
    failed(format!("{operation} does not take {}", kinds.join(" and ")))
}

impl<'a, S: Subject + ?Sized> Evaluation<'a, '_, S> {
    fn value<'n: 'a>(&mut self, node: &'n Node) -> Result<Value<'a>, Error> {
        self.steps.take(1)?;
        match &node.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Bool(literal) => Ok(Value::Bool(*literal)),
            Kind::Int(literal) => Ok(Value::Int(*literal)),
            Kind::Uint(literal) => Ok(Value::Uint(*literal)),
            Kind::Double(literal) => Ok(Value::Double(*literal)),
            Kind::Text(literal) => Ok(Value::Text(Text::Borrowed(literal))),
            Kind::Given(place) => self.given(*place),
            Kind::Local(place) => Ok(self.locals[*place].clone()),
            Kind::Field { of, name } => self.field(of, name),
            Kind::Has { of, name } => self.has(of, name),
            Kind::Index(of, index) => self.index(of, index),
            Kind::Not(below) => match self.value(below)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                other => no_overload("!", &[&other]),
            },
            Kind::Negate(below) => self.negate(below),
            Kind::And(terms) => self.join(terms, false),
            Kind::Or(terms) => self.join(terms, true),
            Kind::Choose(parts) => self.choose(parts),
            Kind::Binary(binary, parts) => {
                let (left, right) = (self.value(&parts[0])?, self.value(&parts[1])?);
                self.binary(*binary, &left, &right)
            }
            Kind::List(elements) => {
                let elements: Result<Vec<_>, _> = elements.iter().map(|node| self.value(node)).collect();
                elements.map(|elements| Value::List(Rc::new(elements)))
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Call(function, arguments) => self.call(*function, arguments),
            Kind::Each { each, over, bodies } => self.each(*each, over, bodies),
        }
    }

    fn given(&mut self, place: usize) -> Result<Value<'a>, Error> {
        Value::of_given(self.subject.given(place), &mut self.steps)
    }

    fn field<'n: 'a>(&mut self, of: &'n Node, name: &'n str) -> Result<Value<'a>, Error> {
        let of = self.value(of)?;
        let found = match &of {
            Value::Object(_) | Value::Map(_) | Value::Members(_) => {
                of.member(&Value::Text(Text::Borrowed(name)), &mut self.steps)?
            }
            Value::Null => {
                return failed(format!("null has no member {name:?}: guard it by exists or has()"));
            }
            other => return failed(format!("{} has no member {name:?}", other.kind())),
        };
        found.map_or_else(|| failed(format!("there is no member {name:?}: guard it by has()")), Ok)
    }

    fn has<'n: 'a>(&mut self, of: &'n Node, name: &'n str) -> Result<Value<'a>, Error> {
        let is_there = match self.value(of)? {
            Value::Object(raw) => member(raw, name, &mut self.steps)?.is_some(),
            map @ (Value::Map(_) | Value::Members(_)) => {
                map.member(&Value::Text(Text::Borrowed(name)), &mut self.steps)?.is_some()
            }
            other => return failed(format!("{} has no members to ask has() for", other.kind())),
        };
        Ok(Value::Bool(is_there))
    }

    fn index<'n: 'a>(&mut self, of: &'n Node, index: &'n Node) -> Result<Value<'a>, Error> {
        let (of, index) = (self.value(of)?, self.value(index)?);
        let found = match (&of, &index) {
            (Value::Object(_) | Value::Map(_) | Value::Members(_), _) => {
                of.member(&index, &mut self.steps)?
            }
            (Value::Array(_) | Value::List(_), Value::Int(place)) => match u64::try_from(*place) {
                Ok(place) => of.element(place, &mut self.steps)?,
                Err(_) => None,
            },
            (Value::Array(_) | Value::List(_), Value::Uint(place)) => of.element(*place, &mut self.steps)?,
            _ => return no_overload("[ ]", &[&of, &index]),
        };
        found.map_or_else(|| failed("there is no such element"), Ok)
    }

    fn negate<'n: 'a>(&mut self, below: &'n Node) -> Result<Value<'a>, Error> {
        match self.value(below)? {
            Value::Int(int) => int.checked_neg().map_or_else(overflow, |int| Ok(Value::Int(int))),
            Value::Double(double) => Ok(Value::Double(-double)),
            other => no_overload("-", &[&other]),
        }
    }

    /// `&&` and `||`: a term that decides does so even if another one fails.
    fn join<'n: 'a>(&mut self, terms: &'n [Node], decides: bool) -> Result<Value<'a>, Error> {
        let mut failure = None;
        for term in terms {
            match self.value(term) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(other) => {
                    let sign = if decides { "||" } else { "&&" };
                    failure = no_overload::<()>(sign, &[&other]).err().or(failure);
                }
                Err(Error::Steps) => return Err(Error::Steps),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn choose<'n: 'a>(&mut self, parts: &'n [Node; 3]) -> Result<Value<'a>, Error> {
        match self.value(&parts[0])? {
            Value::Bool(true) => self.value(&parts[1]),
            Value::Bool(false) => self.value(&parts[2]),
            other => no_overload("?", &[&other]),
        }
    }

    fn map<'n: 'a>(&mut self, nodes: &'n [(Node, Node)]) -> Result<Value<'a>, Error> {
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let key = self.value(key)?;
            if !matches!(key, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Text(_)) {
                return failed(format!("{} cannot be the key of a map", key.kind()));
            }
            for (other, _) in &entries {
                if other.equals(&key, &mut self.steps)? {
                    return failed("a map has one key twice");
                }
            }
            entries.push((key, self.value(value)?));
        }
        Ok(Value::Map(Rc::new(entries)))
    }

    fn binary(&mut self, binary: Binary, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Error> {
        let order = |order: fn(Ordering) -> bool, ordering: Option<Ordering>| {
            Ok(Value::Bool(ordering.is_some_and(order)))
        };
        match binary {
            Binary::Equal => Ok(Value::Bool(left.equals(right, &mut self.steps)?)),
            Binary::Unequal => Ok(Value::Bool(!left.equals(right, &mut self.steps)?)),
            Binary::Less => order(Ordering::is_lt, self.compare(left, right)?),
            Binary::LessOrEqual => order(Ordering::is_le, self.compare(left, right)?),
            Binary::Greater => order(Ordering::is_gt, self.compare(left, right)?),
            Binary::GreaterOrEqual => order(Ordering::is_ge, self.compare(left, right)?),
            Binary::In => self.is_in(left, right),
            Binary::Add => self.add(left, right),
            Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                calculate(binary, left, right)
            }
        }
    }

    /// The order of two values; none when one is NaN.
    fn compare(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<Option<Ordering>, Error> {
        let is_number =
            |value: &Value<'_>| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
        match (left, right) {
            (Value::Text(left), Value::Text(right)) => {
                let (left, right) = (left.as_str(), right.as_str());
                self.steps.take_bytes(left.len().min(right.len()))?;
                Ok(Some(left.cmp(right)))
            }
            (Value::Bool(left), Value::Bool(right)) => Ok(Some(left.cmp(right))),
            _ if is_number(left) && is_number(right) => Ok(compare_numbers(left, right)),
            _ => no_overload("a comparison", &[left, right]),
        }
    }

    fn is_in(&mut self, wanted: &Value<'a>, of: &Value<'a>) -> Result<Value<'a>, Error> {
        match of {
            Value::Object(_) | Value::Map(_) | Value::Members(_) => {
                Ok(Value::Bool(of.member(wanted, &mut self.steps)?.is_some()))
            }
            Value::Array(_) | Value::List(_) => {
                let mut elements = of.elements(&mut self.steps)?;
                while let Some(element) = elements.next(&mut self.steps)? {
                    if element.equals(wanted, &mut self.steps)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            _ => no_overload("in", &[wanted, of]),
        }
    }

    fn add(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Error> {
        match (left, right) {
            (Value::Text(left), Value::Text(right)) => {
                let (left, right) = (left.as_str(), right.as_str());
                self.steps.take_bytes(left.len() + right.len())?;
                Ok([left, right].concat().into())
            }
            (Value::List(_) | Value::Array(_), Value::List(_) | Value::Array(_)) => {
                let mut joined = Vec::new();
                for part in [left, right] {
                    let mut elements = part.elements(&mut self.steps)?;
                    while let Some(element) = elements.next(&mut self.steps)? {
                        joined.push(element);
                    }
                }
                Ok(Value::List(Rc::new(joined)))
            }
            _ => calculate(Binary::Add, left, right),
        }
    }

    fn call<'n: 'a>(&mut self, function: Function, arguments: &'n [Node]) -> Result<Value<'a>, Error> {
        let value = self.value(&arguments[0])?;
        match function {
            Function::Dyn => Ok(value),
            Function::Size => match value.size(&mut self.steps)? {
                Some(size) => Ok(Value::Int(i64::try_from(size).expect("what is in memory is countable"))),
                None => no_overload("size()", &[&value]),
            },
            Function::Contains | Function::StartsWith | Function::EndsWith => {
                let other = self.value(&arguments[1])?;
                let (Value::Text(text), Value::Text(part)) = (&value, &other) else {
                    return no_overload("contains(), startsWith() or endsWith()", &[&value, &other]);
                };
                let (text, part) = (text.as_str(), part.as_str());
                self.steps.take_bytes(text.len() + part.len())?;
                Ok(Value::Bool(match function {
                    Function::Contains => text.contains(part),
                    Function::StartsWith => text.starts_with(part),
                    _ => text.ends_with(part),
                }))
            }
            Function::Int | Function::Uint | Function::Double | Function::Text => {
                if let Value::Text(text) = &value {
                    self.steps.take_bytes(text.as_str().len())?;
                }
                convert(function, &value)
            }
        }
    }

    fn each<'n: 'a>(&mut self, each: Each, over: &'n Node, bodies: &'n [Node]) -> Result<Value<'a>, Error> {
        let over = self.value(over)?;
        let mut elements = over.elements(&mut self.steps)?;
        let (mut kept, mut count, mut failure) = (Vec::new(), 0usize, None);
        while let Some(element) = elements.next(&mut self.steps)? {
            self.locals.push(element.clone());
            let result = self.bodies(each, bodies);
            self.locals.pop();
            match (each, result) {
                (_, Err(Error::Steps)) => return Err(Error::Steps),
                (Each::All | Each::Exists, Err(error)) => failure = failure.or(Some(error)),
                (_, Err(error)) => return Err(error),
                (Each::All, Ok(Some(Value::Bool(false)))) => return Ok(Value::Bool(false)),
                (Each::Exists, Ok(Some(Value::Bool(true)))) => return Ok(Value::Bool(true)),
                (Each::ExistsOne, Ok(Some(Value::Bool(true)))) => count += 1,
                (Each::Filter, Ok(Some(Value::Bool(true)))) => kept.push(element),
                (Each::Map, Ok(Some(result))) => kept.push(result),
                (_, Ok(_)) => {}
            }
        }
        match (each, failure) {
            (_, Some(failure)) => Err(failure),
            (Each::All, None) => Ok(Value::Bool(true)),
            (Each::Exists, None) => Ok(Value::Bool(false)),
            (Each::ExistsOne, None) => Ok(Value::Bool(count == 1)),
            (Each::Filter | Each::Map, None) => Ok(Value::List(Rc::new(kept))),
        }
    }

    /// What a macro does with one element; nothing when its condition, the first of two bodies, does not hold.
    fn bodies<'n: 'a>(&mut self, each: Each, bodies: &'n [Node]) -> Result<Option<Value<'a>>, Error> {
        let (body, condition) = bodies.split_last().expect("a macro has one body or two");
        if let [condition] = condition {
            match self.value(condition)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(None),
                other => return no_overload("map()", &[&other]),
            }
        }
        let result = self.value(body)?;
        if each != Each::Map && !matches!(result, Value::Bool(_)) {
            return failed(format!("the condition of a macro is {}, and must be bool", result.kind()));
        }
        Ok(Some(result))
    }
}

fn overflow<'a>() -> Result<Value<'a>, Error> {
    failed("a result is out of the range of its type")
}

fn calculate<'a>(binary: Binary, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Error> {
    let is_division = matches!(binary, Binary::Divide | Binary::Remainder);
    if is_division && matches!(right, Value::Int(0) | Value::Uint(0)) {
        return failed("a division by zero");
    }
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            let result = match binary {
                Binary::Add => left.checked_add(*right),
                Binary::Subtract => left.checked_sub(*right),
                Binary::Multiply => left.checked_mul(*right),
                Binary::Divide => left.checked_div(*right),
                _ => left.checked_rem(*right),
            };
            result.map_or_else(overflow, |result| Ok(Value::Int(result)))
        }
        (Value::Uint(left), Value::Uint(right)) => {
            let result = match binary {
                Binary::Add => left.checked_add(*right),
                Binary::Subtract => left.checked_sub(*right),
                Binary::Multiply => left.checked_mul(*right),
                Binary::Divide => left.checked_div(*right),
                _ => left.checked_rem(*right),
            };
            result.map_or_else(overflow, |result| Ok(Value::Uint(result)))
        }
        (Value::Double(left), Value::Double(right)) if binary != Binary::Remainder => {
            Ok(Value::Double(match binary {
                Binary::Add => left + right,
                Binary::Subtract => left - right,
                Binary::Multiply => left * right,
                _ => left / right,
            }))
        }
        _ => no_overload("the arithmetic of numbers", &[left, right]),
    }
}

fn convert<'a>(function: Function, value: &Value<'a>) -> Result<Value<'a>, Error> {
    /// Doubles whose whole part fits, both ends excluded.
    const INT_BELOW: f64 = 9_223_372_036_854_775_808.0;
    const UINT_BELOW: f64 = 18_446_744_073_709_551_616.0;
    let result = match (function, value) {
        (Function::Int, Value::Int(_)) | (Function::Uint, Value::Uint(_)) => Some(value.clone()),
        (Function::Double, Value::Double(_)) | (Function::Text, Value::Text(_)) => Some(value.clone()),
        (Function::Int, Value::Uint(number)) => i64::try_from(*number).ok().map(Value::Int),
        (Function::Int, Value::Double(number)) => {
            (-INT_BELOW < *number && *number < INT_BELOW).then_some(Value::Int(*number as i64))
        }
        (Function::Int, Value::Text(text)) => text.as_str().parse().ok().map(Value::Int),
        (Function::Uint, Value::Int(number)) => u64::try_from(*number).ok().map(Value::Uint),
        (Function::Uint, Value::Double(number)) => {
            (0.0 <= *number && *number < UINT_BELOW).then_some(Value::Uint(*number as u64))
        }
        (Function::Uint, Value::Text(text)) => text.as_str().parse().ok().map(Value::Uint),
        (Function::Double, Value::Int(number)) => Some(Value::Double(*number as f64)),
        (Function::Double, Value::Uint(number)) => Some(Value::Double(*number as f64)),
        (Function::Double, Value::Text(text)) => text.as_str().parse().ok().map(Value::Double),
        (Function::Text, Value::Int(number)) => Some(number.to_string().into()),
        (Function::Text, Value::Uint(number)) => Some(number.to_string().into()),
        (Function::Text, Value::Double(number)) => Some(number.to_string().into()),
        (Function::Text, Value::Bool(value)) => Some(value.to_string().into()),
        _ => return no_overload("a conversion", &[value]),
    };
    result.map_or_else(|| failed(format!("a conversion from {} is out of range", value.kind())), Ok)
}
