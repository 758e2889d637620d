//! A plan as text, so that one that no seed stands for can be passed on and replayed: `field=value,...;act;act`. Each act is
//! `Fault@at+lasts/place/choice`, times in nanoseconds, the last two hexadecimal. What is not said is as the seed has it; so
//! `seed=17` alone is that seed's plan, and `seed=17,nodes=3;` has three nodes and no faults.

use std::fmt::{Display, Write};
use std::str::FromStr;

use super::plan::{Act, Fault, Plan, Reads};

impl Plan {
    /// All of it, in one line without blanks.
    pub(super) fn to_text(&self) -> String {
        #[rustfmt::skip]
        let Self {
            seed, nodes, spare_nodes, callers, keys, think, ends, reads, forwarding, snapshot_entries, trailing_entries,
            ballast, noise, latency, bandwidth, sync, calm, large, append_entries_max, clients, sessions_max,
            unanswered_max, answers_bytes_max, on_disk, acts,
        } = self;
        let fields: [(&str, &dyn Display); 24] = [
            ("seed", seed),
            ("nodes", nodes),
            ("spare_nodes", spare_nodes),
            ("callers", callers),
            ("keys", keys),
            ("think", think),
            ("ends", ends),
            ("reads", if *reads == Reads::Lease { &"lease" } else { &"rounds" }),
            ("forwarding", forwarding),
            ("snapshot_entries", snapshot_entries),
            ("trailing_entries", trailing_entries),
            ("ballast", ballast),
            ("noise", noise),
            ("latency", latency),
            ("bandwidth", bandwidth),
            ("sync", sync),
            ("calm", calm),
            ("large", large),
            ("append_entries_max", append_entries_max),
            ("clients", clients),
            ("sessions_max", sessions_max),
            ("unanswered_max", unanswered_max),
            ("answers_bytes_max", answers_bytes_max),
            ("on_disk", on_disk),
        ];
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text = fields.join(",") + ";";
        for (place, act) in acts.iter().enumerate() {
            let Act { at, fault, place: node, lasts, choice } = act;
            let comma = if place == 0 { "" } else { ";" };
            write!(text, "{comma}{fault:?}@{at}+{lasts}/{node:x}/{choice:x}").expect("text has room");
        }
        text
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "seed" => self.seed = read(name, value)?,
            "nodes" => self.nodes = read(name, value)?,
            "spare_nodes" => self.spare_nodes = read(name, value)?,
            "callers" => self.callers = read(name, value)?,
            "keys" => self.keys = read(name, value)?,
            "think" => self.think = read(name, value)?,
            "ends" => self.ends = read(name, value)?,
            "reads" if value == "lease" => self.reads = Reads::Lease,
            "reads" if value == "rounds" => self.reads = Reads::Rounds,
            "forwarding" => self.forwarding = read(name, value)?,
            "snapshot_entries" => self.snapshot_entries = read(name, value)?,
            "trailing_entries" => self.trailing_entries = read(name, value)?,
            "ballast" => self.ballast = read(name, value)?,
            "noise" => self.noise = read(name, value)?,
            "latency" => self.latency = read(name, value)?,
            "bandwidth" => self.bandwidth = read(name, value)?,
            "calm" => self.calm = read(name, value)?,
            "large" => self.large = read(name, value)?,
            "sync" => self.sync = read(name, value)?,
            "append_entries_max" => self.append_entries_max = read(name, value)?,
            "clients" => self.clients = read(name, value)?,
            "sessions_max" => self.sessions_max = read(name, value)?,
            "unanswered_max" => self.unanswered_max = read(name, value)?,
            "answers_bytes_max" => self.answers_bytes_max = read(name, value)?,
            "on_disk" => self.on_disk = read(name, value)?,
            _ => return Err(format!("a plan has no {name}={value}")),
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = String;

    /// Blanks and ends of lines do not count: a plan in a file may be laid out as one likes.
    fn from_str(text: &str) -> Result<Self, String> {
        let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        let (fields, acts) =
            text.split_once(';').map_or((&*text, None), |(fields, acts)| (fields, Some(acts)));
        let fields =
            fields.split(',').map(|field| field.split_once('=').ok_or(format!("{field} is no field=value")));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let seed = fields.iter().find(|(name, _)| *name == "seed").ok_or("a plan names its seed")?;
        let mut plan = Self::of(read("seed", seed.1)?);
        for (name, value) in fields {
            plan.set(name, value)?;
        }
        if let Some(acts) = acts {
            let acts = acts.split(';').filter(|act| !act.is_empty());
            plan.acts = acts.map(read_act).collect::<Result<_, _>>()?;
        }
        Ok(plan)
    }
}

fn read<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} cannot be {value}"))
}

fn read_act(text: &str) -> Result<Act, String> {
    let parts: Vec<&str> = text.split(['@', '+', '/']).collect();
    let [fault, at, lasts, place, choice] = parts[..] else {
        return Err(format!("{text} is no Fault@at+lasts/place/choice"));
    };
    let hexadecimal =
        |name, value| u64::from_str_radix(value, 16).map_err(|_| format!("{name} cannot be {value}"));
    Ok(Act {
        fault: Fault::ALL
            .into_iter()
            .find(|known| format!("{known:?}") == fault)
            .ok_or_else(|| format!("there is no fault {fault}"))?,
        at: read("at", at)?,
        lasts: read("lasts", lasts)?,
        place: hexadecimal("place", place)?,
        choice: hexadecimal("choice", choice)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_from_its_text_as_it_was() {
        for seed in 0..200 {
            let plan = Plan::of(seed);

            assert_eq!(plan.to_text().parse(), Ok(plan));
        }
    }

    #[test]
    fn a_field_that_is_not_said_is_as_the_seed_has_it() {
        let plan: Plan = "seed=17, nodes=7".parse().unwrap();

        assert_eq!(plan, Plan { nodes: 7, ..Plan::of(17) });
    }

    #[test]
    fn a_plan_may_be_laid_out_over_many_lines_and_have_no_faults() {
        let plan: Plan = "\nseed=17,\n  keys=1;\n".parse().unwrap();

        assert_eq!(plan, Plan { keys: 1, acts: Vec::new(), ..Plan::of(17) });
    }

    #[test]
    fn a_text_that_is_no_plan_is_refused_by_what_is_wrong_with_it() {
        let wrong = |text: &str| text.parse::<Plan>().unwrap_err();

        assert_eq!(wrong("nodes=3"), "a plan names its seed");
        assert_eq!(wrong("seed=17,nodes=many"), "nodes cannot be many");
        assert_eq!(wrong("seed=17,colour=red"), "a plan has no colour=red");
        assert_eq!(wrong("seed=17;Flood@1+1/0/0"), "there is no fault Flood");
        assert_eq!(wrong("seed=17;Kill@1/0/0"), "Kill@1/0/0 is no Fault@at+lasts/place/choice");
    }
}
