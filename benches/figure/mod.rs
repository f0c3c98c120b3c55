//! A figure, as every bench prints it: one line to read, or one JSON object.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a figure is held against.
#[allow(
    dead_code,
    reason = "not every bench holds its figures against all of them"
)]
#[derive(Clone, Copy)]
pub enum Against {
    /// The same bytes in a bare file, in the same run.
    Bare(f64),
    /// The same arithmetic in a plain loop on one core, in the same run.
    Loop(f64),
    /// A bound.
    Aim(f64),
    /// Nothing compares.
    Nothing,
}

pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub against: Against,
    /// Whether a larger value is better: the ratio is then value to baseline.
    pub rate: bool,
}

impl Figure {
    /// `ratio` is above 1 where the value is better than what it is held against.
    pub fn print(&self, json: bool) {
        let Self {
            name, value, unit, ..
        } = self;
        let (what, baseline) = match self.against {
            Against::Bare(baseline) => ("bare file", baseline),
            Against::Loop(baseline) => ("plain loop", baseline),
            Against::Aim(aim) => ("aim", aim),
            Against::Nothing => return self.print_alone(json),
        };
        let ratio = if self.rate {
            value / baseline
        } else {
            baseline / value
        };
        if json {
            println!(
                r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","against":"{what}","baseline":{baseline:.3},"ratio":{ratio:.3}}}"#
            );
        } else {
            println!(
                "{name:<60} {value:>14.3} {unit:<9} {what:>10} {baseline:>14.3}   ratio {ratio:.3}"
            );
        }
    }

    fn print_alone(&self, json: bool) {
        let Self {
            name, value, unit, ..
        } = self;
        if json {
            println!(
                r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","against":null,"baseline":null,"ratio":null}}"#
            );
        } else {
            println!("{name:<60} {value:>14.3} {unit}");
        }
    }
}

/// Reads every byte of the files below a folder, and gives none of them to anybody.
#[allow(dead_code, reason = "not every bench has files")]
pub fn read_plainly(folder: &Path) {
    let mut bytes = vec![0; 1 << 20];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_plainly(&path);
            continue;
        }
        let mut file = File::open(path).unwrap();
        while file.read(&mut bytes).unwrap() > 0 {}
    }
}

/// A line of what the kernel says of this process's memory, in bytes: `VmRSS` what is resident,
/// `VmHWM` the most that was.
#[allow(dead_code, reason = "not every bench measures memory")]
pub fn memory_bytes(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let words = status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .unwrap();
    let kib: u64 = words.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
