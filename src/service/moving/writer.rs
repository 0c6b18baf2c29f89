//! Writing a file of an export, with its checksums.

use std::io::{self, Write};

use aws_lc_rs::digest::Context;

use super::lines::{Content, Header};
use super::spelling::Checksum;
use super::wire::{self, End};

/// What an export came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Organizations.
    pub orgs: u64,
    /// Applications.
    pub apps: u64,
    /// Inference profiles.
    pub profiles: u64,
    /// Daily totals.
    pub totals: u64,
    /// Checksum of all lines but the first and the last: the same for every export of the same content.
    pub content: Checksum,
}

/// Writes line by line.
pub(super) struct ExportWriter<W> {
    out: W,
    whole: Context,
    content: Context,
    lines: u64,
    counts: [u64; 4],
    line: Vec<u8>,
}

impl<W: Write> ExportWriter<W> {
    /// Begins a file.
    pub(super) fn begin(out: W, header: Header) -> io::Result<Self> {
        let (whole, content) = (Checksum::context(), Checksum::context());
        let mut writer = Self { out, whole, content, lines: 0, counts: [0; 4], line: Vec::new() };
        wire::write_header(&mut writer.line, header)?;
        writer.put_line()?;
        Ok(writer)
    }

    /// Adds a line.
    pub(super) fn add(&mut self, content: &Content) -> io::Result<()> {
        wire::write_content(&mut self.line, content)?;
        let [orgs, apps, profiles, totals] = &mut self.counts;
        *match content {
            Content::Org(_) => orgs,
            Content::App(_) => apps,
            Content::Profile(_) => profiles,
            Content::Total(_) => totals,
        } += 1;
        self.content.update(&self.line);
        self.put_line()
    }

    /// Ends the file. What was written before is only an export with its last line.
    pub(super) fn end(mut self) -> io::Result<Exported> {
        let end = End::new(self.lines, Checksum::of(self.whole.clone()).to_string());
        wire::write_end(&mut self.line, &end)?;
        self.put_line()?;
        self.out.flush()?;
        let [orgs, apps, profiles, totals] = self.counts;
        Ok(Exported { orgs, apps, profiles, totals, content: Checksum::of(self.content) })
    }

    fn put_line(&mut self) -> io::Result<()> {
        self.whole.update(&self.line);
        self.lines += 1;
        self.out.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}
