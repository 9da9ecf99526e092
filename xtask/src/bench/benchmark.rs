//! One figure as the kernel reports it.

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

/// What a piece of work costs on one host, in one of the ways to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Benchmark {
    pub(crate) key: Key,
    /// Rounds in a sample. The other figures are of whole samples.
    pub(crate) rounds: u64,
    pub(crate) min: u64,
    pub(crate) median: u64,
    pub(crate) p99: u64,
    /// Number of samples.
    pub(crate) n: u64,
    /// What an empty loop costs, which has been subtracted.
    pub(crate) overhead: u64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) group: String,
    pub(crate) name: String,
    /// Empty where there is one way only.
    pub(crate) way: String,
    /// Of how many things at once.
    pub(crate) size: u64,
}

impl Benchmark {
    /// # Errors
    /// A field is missing or makes no sense.
    pub(crate) fn parse(fields: &Map<String, Value>) -> anyhow::Result<Self> {
        let number = |key: &str| {
            let value = fields.get(key).and_then(Value::as_u64);
            value.with_context(|| format!("{key:?} is not a number from 0"))
        };
        let string = |key: &str| {
            let value = fields.get(key).and_then(Value::as_str);
            let value = value.with_context(|| format!("{key:?} is not a string"))?;
            anyhow::Ok(value.to_string())
        };
        let benchmark = Self {
            key: Key {
                group: string("group")?,
                name: string("name")?,
                way: string("way")?,
                size: number("size")?,
            },
            rounds: number("rounds")?,
            min: number("min")?,
            median: number("median")?,
            p99: number("p99")?,
            n: number("n")?,
            overhead: number("overhead")?,
        };
        ensure!(benchmark.rounds > 0, "a benchmark of no rounds");
        Ok(benchmark)
    }

    /// The same fields again.
    pub(crate) fn to_json(&self) -> Value {
        let Key {
            group,
            name,
            way,
            size,
        } = &self.key;
        json!({
            "group": group, "name": name, "way": way, "size": size,
            "rounds": self.rounds, "min": self.min, "median": self.median, "p99": self.p99,
            "n": self.n, "overhead": self.overhead,
        })
    }

    /// Half of the rounds cost at most this.
    pub(crate) fn each(&self) -> f64 {
        self.per_round(self.median)
    }

    pub(crate) fn per_round(&self, ticks: u64) -> f64 {
        ticks as f64 / self.rounds as f64
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One that costs `median` in one round.
    pub(crate) fn costing(group: &str, name: &str, way: &str, size: u64, median: u64) -> Benchmark {
        Benchmark {
            key: Key {
                group: group.into(),
                name: name.into(),
                way: way.into(),
                size,
            },
            rounds: 1,
            min: median,
            median,
            p99: median,
            n: 101,
            overhead: 2,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let benchmark = costing("op", "irq.disable", "raw", 1, 7);
        let Value::Object(mut fields) = benchmark.to_json() else {
            panic!("no object")
        };
        assert_eq!(Benchmark::parse(&fields).unwrap(), benchmark);
        fields.insert("rounds".into(), 0.into());
        assert!(Benchmark::parse(&fields).is_err());
        fields.remove("rounds");
        let error = Benchmark::parse(&fields).unwrap_err().to_string();
        assert_eq!(error, "\"rounds\" is not a number from 0");
    }
}
