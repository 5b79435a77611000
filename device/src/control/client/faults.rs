//! Fault rules over the socket, in the words of [`FaultBook`](ioat_stage::FaultBook): who has one or the other need not care.

use std::collections::BTreeMap;

use ioat_stage::fault::Fired;
use ioat_stage::{Access, ArmedRule, Op, Point, Rule, RuleId};
use serde_json::{Map, Value, json};

use super::{Client, ClientError, arguments, odd};

/// The most firings that a device lists.
const LAST: u64 = 4096;

/// Operations by point, channel and direction.
pub type Accesses = BTreeMap<(Point, Option<u8>, Option<Access>), u64>;

impl Client {
    /// Arms a rule, and gives its number.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn arm(&mut self, rule: &Rule) -> Result<RuleId, ClientError> {
        let value = self.execute("fault-arm", arguments([("rule", json!(rule.to_string()))]))?;
        value["id"].as_u64().ok_or_else(|| odd(&value))
    }

    /// Arms rules that may speak of each other, in whatever order; all of them or none.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn arm_all(&mut self, rules: &[Rule]) -> Result<Vec<RuleId>, ClientError> {
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let lines: Vec<_> = rules.iter().map(Rule::to_string).collect();
        let value = self.execute("fault-arm", arguments([("rule", json!(lines.join("\n")))]))?;
        match &value {
            Value::Array(_) => rows(&value, |row| row["id"].as_u64()),
            one => Ok(vec![one["id"].as_u64().ok_or_else(|| odd(one))?]),
        }
    }

    /// Arms the rule of this name that rests (`armed=command`). None if there is none.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn arm_named(&mut self, name: &str) -> Result<Option<RuleId>, ClientError> {
        match self.execute("fault-arm", arguments([("name", json!(name))])) {
            Ok(value) => value["id"].as_u64().map(Some).ok_or_else(|| odd(&value)),
            Err(ClientError::Refused { class, .. }) if class == "NotFound" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes all rules out, and forgets what fired and what was counted.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn clear(&mut self) -> Result<(), ClientError> {
        self.execute("fault-clear", Map::new()).map(drop)
    }

    /// Counts the operations of every point from now on, from 0; or no longer.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn census(&mut self, on: bool) -> Result<(), ClientError> {
        let switch = if on { "on" } else { "off" };
        self.execute("fault-census", arguments([("switch", json!(switch))])).map(drop)
    }

    /// What was counted, by point and channel; none where an operation has no channel.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn operations(&mut self) -> Result<BTreeMap<(Point, Option<u8>), u64>, ClientError> {
        let mut operations = BTreeMap::new();
        for ((point, channel, _), count) in self.accesses()? {
            *operations.entry((point, channel)).or_default() += count;
        }
        Ok(operations)
    }

    /// The same, by direction too: what an action counts that works on one direction only. None is neither.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn accesses(&mut self) -> Result<Accesses, ClientError> {
        let value = self.execute("query-operations", Map::new())?;
        let row = |row: &Value| {
            let channel = row["channel"].as_u64().map(u8::try_from).transpose().ok()?;
            let point = Point::named(row["point"].as_str()?)?;
            let number = |name: &str| row[name].as_u64();
            let (count, reads, writes) = (number("count")?, number("reads")?, number("writes")?);
            let neither = count.saturating_sub(reads + writes);
            let by_direction = [(None, neither), (Some(Access::Read), reads), (Some(Access::Write), writes)];
            Some(by_direction.map(|(access, count)| ((point, channel, access), count)))
        };
        Ok(rows(&value, row)?.into_iter().flatten().filter(|(_, count)| *count > 0).collect())
    }

    /// Takes a rule out. False if there is none of this number.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn disarm(&mut self, id: RuleId) -> Result<bool, ClientError> {
        match self.execute("fault-disarm", arguments([("id", json!(id))])) {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { class, .. }) if class == "NotFound" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The rules, in the order of arming.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn rules(&mut self) -> Result<Vec<ArmedRule>, ClientError> {
        let value = self.execute("fault-list", Map::new())?;
        let armed = |row: &Value| {
            let number = |name: &str| row[name].as_u64();
            let (id, seen, fired) = (number("id")?, number("seen")?, number("fired")?);
            Some(ArmedRule { id, rule: rule(row)?, seen, fired })
        };
        rows(&value, armed)
    }

    /// What fired, oldest first.
    ///
    /// # Errors
    /// As [`execute`](Client::execute).
    pub fn fired(&mut self) -> Result<Vec<Fired>, ClientError> {
        let value = self.execute("fault-fired", arguments([("last", json!(LAST))]))?;
        let fired = |row: &Value| {
            let number = |name: &str| row[name].as_u64();
            let channel = number("channel").map(u8::try_from).transpose().ok()?;
            let (sequence, address, len) = (number("sequence")?, number("address")?, number("len")?);
            let op = Op { channel, sequence, address, len, ..Op::default() };
            Some(Fired {
                rule: rule(row)?.into(),
                nth: number("nth")?,
                op,
                channel_nth: number("channel-nth")?,
            })
        };
        rows(&value, fired)
    }
}

fn rule(row: &Value) -> Option<Rule> {
    row["rule"].as_str()?.parse().ok()
}

fn rows<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, ClientError> {
    let rows = value.as_array().and_then(|rows| rows.iter().map(read).collect());
    rows.ok_or_else(|| odd(value))
}
