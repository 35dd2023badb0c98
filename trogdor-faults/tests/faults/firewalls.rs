//! What a node may have to make rules with, and what a user may have made of it already.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use anyhow::Context as _;

use crate::space::Space;

/// What a node has to make rules with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    Nft,
    /// iptables on top of nftables, but no program `nft`.
    IptablesNft,
    IptablesLegacy,
}

/// Each of them.
pub const ALL: [Has; 3] = [Has::Nft, Has::IptablesNft, Has::IptablesLegacy];

/// Where programs come from first.
pub const FIRST: &str = "/usr/local/sbin";

impl Has {
    /// Makes a space find these programs and no others.
    pub fn only(self, space: &Space) -> anyhow::Result<()> {
        let folder = space.folder().join("sbin");
        std::fs::create_dir_all(&folder)?;
        let kind = match self {
            Has::Nft => return Ok(()),
            Has::IptablesNft => "nft",
            Has::IptablesLegacy => "legacy",
        };
        for program in ["iptables", "ip6tables"] {
            for end in ["", "-save"] {
                symlink(format!("/usr/sbin/{program}-{kind}{end}"), folder.join(format!("{program}{end}")))?;
            }
        }
        // Snapshots still see everything.
        script(
            &folder.join("nft"),
            "case \"$1\" in --stateless) exec /usr/sbin/nft \"$@\";; esac; echo 'nft: not on this node' >&2; exit 1",
        )?;
        space.run(["mount", "--bind", &folder.to_string_lossy(), FIRST])?;
        Ok(())
    }

    /// All rules there are, in their order.
    pub fn rules(self, space: &Space) -> anyhow::Result<String> {
        let listings: &[&[&str]] = match self {
            Has::Nft => {
                &[&["nft", "--stateless", "list", "ruleset"], &["iptables-save"], &["ip6tables-save"]]
            }
            _ => &[&["iptables-save"], &["ip6tables-save"]],
        };
        let listings = listings.iter().map(|argv| space.run(argv.iter().copied()));
        let text = listings.collect::<anyhow::Result<Vec<_>>>()?.concat();
        // Comments carry the time, chains their counters.
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(|line| line.split(" [").next().unwrap_or(line)).collect::<Vec<_>>().join("\n"))
    }

    /// Rules of a user's own, some of them where the fault's go.
    pub fn users_rules(self, space: &Space) -> anyhow::Result<()> {
        if self == Has::Nft {
            for command in [
                "add table inet users",
                "add chain inet users early { type filter hook prerouting priority -150; }",
                "add chain inet users late { type filter hook output priority 0; }",
                "add rule inet users early tcp dport 1 drop",
                "add rule inet users late tcp dport 2 reject",
            ] {
                space.run(["nft", command])?;
            }
        }
        for program in ["iptables", "ip6tables"] {
            for rule in [
                "mangle PREROUTING -p tcp --dport 3 -j DROP",
                "mangle PREROUTING -p tcp --dport 4 -j ACCEPT",
                "mangle POSTROUTING -p udp --dport 5 -j DROP",
                "filter INPUT -p tcp --dport 6 -j REJECT",
            ] {
                let (table, rule) = rule.split_once(' ').context("a table")?;
                space.run([program, "-t", table, "-A"].into_iter().chain(rule.split(' ')))?;
            }
        }
        Ok(())
    }
}

/// Writes a program for the shell.
pub fn script(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}
