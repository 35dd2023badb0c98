//! The running form of a payload generator: buffers, counters, the current size. No call allocates,
//! and nothing here can fail: what could has been refused at the start.

use super::java_random::JavaRandom;
use super::payload::{GaussianSizes, PayloadGenerator, RandomComponent, TIMESTAMP_BYTES};
use super::position_random::PositionRandom;
use super::zipf::Zipf;

/// The payloads of one generator, started with [`PayloadGenerator::start`].
#[derive(Debug)]
pub struct Payloads {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Null,
    Constant(Vec<u8>),
    Sequential {
        start_offset: i64,
        buffer: Vec<u8>,
    },
    /// The bytes from `random_length` on are the padding and stay as they are.
    UniformRandom {
        seed: i64,
        random_length: usize,
        buffer: Vec<u8>,
    },
    /// A number drawn anew at every position is added to the offset.
    Number {
        draw: Draw,
        seed: i64,
        start_offset: i64,
        buffer: Vec<u8>,
    },
    /// The numbers are upper bounds of the draw: 30, 100 for components of 30 % and 70 %.
    RandomComponent {
        seed: i64,
        components: Vec<(i32, Form)>,
    },
    /// Without a seed, the bytes after the timestamp stay zero.
    Timestamp {
        seed: Option<i64>,
        buffer: Vec<u8>,
    },
    /// The buffer is as long as the longest payload.
    Gaussian {
        sizes: GaussianSizes,
        fills: bool,
        current: Option<CurrentSize>,
        buffer: Vec<u8>,
    },
}

/// A draw of a number from 0 on.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Below(u64),
    Zipf(Zipf),
}

#[derive(Debug, Clone, Copy)]
struct CurrentSize {
    bytes: usize,
    messages: i32,
}

impl Payloads {
    /// Starts a generator that has no problems.
    pub(super) fn of(generator: &PayloadGenerator) -> Result<Payloads, String> {
        Ok(Payloads { form: Form::of(generator)? })
    }

    /// The payload at a position, `None` for a null key or value. Generators that write a timestamp
    /// ask `wall_ms` (ms since 1970) once, as the last thing they do; all others never ask. With the
    /// gaussian generators the size depends on the calls before, with all others on nothing but the
    /// position.
    pub fn at(&mut self, position: i64, wall_ms: impl Fn() -> i64) -> Option<&[u8]> {
        self.form.payload(position, &wall_ms)
    }
}

impl Form {
    fn of(generator: &PayloadGenerator) -> Result<Form, String> {
        Ok(match generator {
            PayloadGenerator::Null => Form::Null,
            PayloadGenerator::Constant(constant) => {
                Form::Constant(repeated(constant.pattern(), constant.size())?)
            }
            PayloadGenerator::Sequential { size, start_offset } => {
                Form::Sequential { start_offset: *start_offset, buffer: zeros(*size)? }
            }
            PayloadGenerator::UniformRandom { size, seed, padding } => {
                let mut buffer = zeros(*size)?;
                let random_length = buffer.len().saturating_sub(length(*padding));
                JavaRandom::new(*seed).next_bytes(&mut buffer[random_length..]);
                Form::UniformRandom { seed: *seed, random_length, buffer }
            }
            PayloadGenerator::UniformInteger { size, keys, seed, start_offset } => {
                let draw = Draw::Below(keys.unsigned_abs());
                Form::Number { draw, seed: *seed, start_offset: *start_offset, buffer: zeros(*size)? }
            }
            PayloadGenerator::Zipf { size, keys, exponent, seed, start_offset } => {
                let draw = Draw::Zipf(Zipf::new(keys.unsigned_abs(), *exponent));
                Form::Number { draw, seed: *seed, start_offset: *start_offset, buffer: zeros(*size)? }
            }
            PayloadGenerator::RandomComponent { seed, components } => {
                Form::RandomComponent { seed: *seed, components: started(components)? }
            }
            PayloadGenerator::TimestampRandom { size, seed } => {
                Form::Timestamp { seed: Some(*seed), buffer: zeros(*size)? }
            }
            PayloadGenerator::TimestampConstant { size } => {
                Form::Timestamp { seed: None, buffer: zeros(*size)? }
            }
            PayloadGenerator::GaussianTimestampRandom(sizes) => gaussian(*sizes, true)?,
            PayloadGenerator::GaussianTimestampConstant(sizes) => gaussian(*sizes, false)?,
        })
    }

    /// Takes the clock by reference, since a generator hands it on to its components.
    fn payload(&mut self, position: i64, wall_ms: &impl Fn() -> i64) -> Option<&[u8]> {
        match self {
            Form::Null => None,
            Form::Constant(payload) => Some(payload),
            Form::Sequential { start_offset, buffer } => {
                put_number(buffer, position.wrapping_add(*start_offset));
                Some(buffer)
            }
            Form::UniformRandom { seed, random_length, buffer } => {
                JavaRandom::new(seed.wrapping_add(position)).next_bytes(&mut buffer[..*random_length]);
                Some(buffer)
            }
            Form::Number { draw, seed, start_offset, buffer } => {
                let mut random = PositionRandom::at(*seed, position.cast_unsigned());
                let drawn = match draw {
                    Draw::Below(bound) => random.next_below(*bound),
                    Draw::Zipf(zipf) => zipf.draw(&mut random),
                };
                put_number(buffer, start_offset.wrapping_add_unsigned(drawn));
                Some(buffer)
            }
            Form::RandomComponent { seed, components } => {
                let drawn = JavaRandom::new(seed.wrapping_add(position)).next_below(100);
                let (_, component) = components.iter_mut().find(|(bound, _)| drawn < *bound)?;
                component.payload(position, wall_ms)
            }
            Form::Timestamp { seed, buffer } => {
                if let (Some(seed), Some(rest)) = (seed, buffer.get_mut(TIMESTAMP_BYTES as usize..)) {
                    JavaRandom::new(seed.wrapping_add(position)).next_bytes(rest);
                }
                put_number(buffer, wall_ms());
                Some(buffer)
            }
            Form::Gaussian { sizes, fills, current, buffer } => {
                let mut random = JavaRandom::new(sizes.seed.wrapping_add(position));
                let size = next_size(sizes, current, &mut random).min(buffer.len());
                let payload = &mut buffer[..size];
                if *fills {
                    random.next_bytes(payload);
                }
                put_number(payload, wall_ms());
                Some(payload)
            }
        }
    }
}

fn gaussian(sizes: GaussianSizes, fills: bool) -> Result<Form, String> {
    let buffer = zeros(i32::try_from(sizes.greatest_size()).unwrap_or(i32::MAX))?;
    Ok(Form::Gaussian { sizes, fills, current: None, buffer })
}

fn started(components: &[RandomComponent]) -> Result<Vec<(i32, Form)>, String> {
    let mut bound = 0_i32;
    let mut started = Vec::with_capacity(components.len());
    for component in components {
        bound = bound.saturating_add(component.percent);
        let generator = component.component.as_ref().unwrap_or(&PayloadGenerator::Null);
        started.push((bound, Form::of(generator)?));
    }
    Ok(started)
}

/// Keeps the size for the wanted number of messages, then draws another one.
fn next_size(sizes: &GaussianSizes, current: &mut Option<CurrentSize>, random: &mut JavaRandom) -> usize {
    let kept = current.filter(|size| size.messages < sizes.messages_until_size_change);
    let size = kept.unwrap_or_else(|| {
        let deviation = (random.next_gaussian() * sizes.message_size_deviation) as i32;
        let bytes = deviation.saturating_add(sizes.message_size_average).max(TIMESTAMP_BYTES);
        CurrentSize { bytes: length(bytes), messages: 0 }
    });
    *current = Some(CurrentSize { messages: size.messages + 1, ..size });
    size.bytes
}

/// The number as 8 little-endian bytes at the front, cut if there is less room.
fn put_number(payload: &mut [u8], number: i64) {
    let bytes = number.to_le_bytes();
    let room = payload.len().min(bytes.len());
    payload[..room].copy_from_slice(&bytes[..room]);
}

fn length(size: i32) -> usize {
    usize::try_from(size).unwrap_or(0)
}

fn zeros(size: i32) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(length(size));
    reserved.map_err(|error| format!("no memory for a payload of {size} bytes: {error}"))?;
    bytes.resize(length(size), 0);
    Ok(bytes)
}

fn repeated(pattern: Option<&[u8]>, size: i32) -> Result<Vec<u8>, String> {
    let mut payload = zeros(size)?;
    if let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) {
        for stretch in payload.chunks_mut(pattern.len()) {
            stretch.copy_from_slice(&pattern[..stretch.len()]);
        }
    }
    Ok(payload)
}
