//! What a document has in an index.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Error, Index, Scalar};
use crate::json::Pointer;

/// What a document has at one pointer, encoded. An array has all its different values, and at least one.
struct Field {
    values: BTreeSet<Vec<u8>>,
    is_array: bool,
}

/// The tuples that a document has in an index, in their order, each once: 1 to [`Index::ENTRIES_MAX`]. The document is JSON that
/// was checked; without one every field is absent.
///
/// An array at a pointer gives a tuple for each of its elements. Errors: [`Error::TooLong`], [`Error::TooMany`],
/// [`Error::Arrays`]; [`Error::Malformed`] when the document is damaged. Cost: one pass over the document for each field.
pub fn entries(index: &Index, document: Option<&str>) -> Result<Vec<Bytes>, Error> {
    let fields = index.on.iter().map(|pointer| field(pointer, document)).collect::<Result<Vec<_>, _>>()?;
    let mut arrays =
        fields.iter().zip(&index.on).filter(|(field, _)| field.is_array).map(|(_, pointer)| pointer);
    if let (Some(one), Some(other)) = (arrays.next(), arrays.next()) {
        return Err(Error::Arrays { pointers: [one.clone(), other.clone()] });
    }
    // All but one field have one value, so tuples are in the order of the values of that one.
    let count = fields.iter().map(|field| field.values.len()).max().unwrap_or(1);
    let mut tuples = vec![Vec::new(); count];
    for Field { values, .. } in &fields {
        for (tuple, value) in tuples.iter_mut().zip(values.iter().cycle()) {
            tuple.extend_from_slice(value);
        }
    }
    Ok(tuples.into_iter().map(Bytes::from).collect())
}

fn field(pointer: &Pointer, document: Option<&str>) -> Result<Field, Error> {
    let mut field = Field { values: BTreeSet::new(), is_array: false };
    let found = document.map(|document| pointer.find(document)).transpose()?.flatten();
    if let Some(mut cursor) = found {
        field.is_array = cursor.peek() == Some(b'[');
        if field.is_array {
            let mut is_first = true;
            cursor.enter();
            while cursor.more(std::mem::take(&mut is_first))? {
                field.add(pointer, &Scalar::of_json(cursor.value()?)?)?;
            }
        } else {
            field.add(pointer, &Scalar::of_json(cursor.value()?)?)?;
        }
    }
    if field.values.is_empty() {
        field.add(pointer, &Scalar::Absent)?;
    }
    Ok(field)
}

impl Field {
    fn add(&mut self, pointer: &Pointer, value: &Scalar<'_>) -> Result<(), Error> {
        let mut encoded = Vec::new();
        value.put(&mut encoded);
        if encoded.len() > Index::VALUE_BYTES_MAX {
            return Err(Error::TooLong { pointer: pointer.clone(), bytes: encoded.len() });
        }
        self.values.insert(encoded);
        if self.values.len() > Index::ENTRIES_MAX {
            return Err(Error::TooMany { pointer: pointer.clone() });
        }
        Ok(())
    }
}
