//! The order of lines. It is strict, so a line that is repeated, moved or added is found without remembering more than
//! the line before.

use super::lines::Content;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId};

/// A place in a file. The order of places is that of variants and fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Header,
    Content(OrgId, Part),
    End,
}

/// A place among the lines of one organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Org,
    /// An application, or one of its profiles, which come after it.
    App(AppId, Option<ModelLabel>),
    Total(Day, AppId, ModelLabel),
}

impl Place {
    fn of(content: &Content) -> Self {
        match content {
            Content::Org(moved) => Self::Content(moved.org.org_id, Part::Org),
            Content::App(moved) => Self::Content(moved.app.org_id, Part::App(moved.app.app_id.clone(), None)),
            Content::Profile(profile) => {
                let label = profile.profile_label.clone();
                Self::Content(profile.org_id, Part::App(profile.app_id.clone(), Some(label)))
            }
            Content::Total(total) => {
                let part = Part::Total(total.day, total.app_id.clone(), total.model_label.clone());
                Self::Content(total.org_id, part)
            }
        }
    }

    /// Whether a line here belongs to something that the line before it belongs to as well, or is.
    fn belongs_after(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Content(_, Part::Org) | Self::End | Self::Header, _) => true,
            (Self::Content(org, Part::App(app, Some(_))), Self::Content(before, part)) => {
                org == before && matches!(part, Part::App(owner, _) if owner == app)
            }
            (Self::Content(org, _), Self::Content(before, _)) => org == before,
            (Self::Content(..), Self::Header | Self::End) => false,
        }
    }
}

/// Follows a file from line to line.
#[derive(Debug, Default)]
pub(super) struct Order(Option<Place>);

impl Order {
    /// The first line is next.
    pub(super) fn header(&mut self) -> Result<(), &'static str> {
        self.step(Place::Header)
    }

    /// A line of content is next.
    pub(super) fn content(&mut self, content: &Content) -> Result<(), &'static str> {
        self.step(Place::of(content))
    }

    /// The last line is next.
    pub(super) fn end(&mut self) -> Result<(), &'static str> {
        self.step(Place::End)
    }

    fn step(&mut self, next: Place) -> Result<(), &'static str> {
        match &self.0 {
            None if next != Place::Header => return Err("comes before the first line of an export"),
            Some(before) if next <= *before => return Err("is out of order or there twice"),
            Some(before) if !next.belongs_after(before) => return Err("does not belong to the lines before it"),
            _ => {}
        }
        self.0 = Some(next);
        Ok(())
    }
}
