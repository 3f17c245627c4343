//! Regions and their zones, with everything that is derived from a region's place.
//!
//! The codes inside instance ids and the zones are partly the vendor's, partly plausible
//! fill-ins: the vendor publishes neither as a list. Classic networks exist in every region of
//! the page's own era and in none that opened later, because the page makes CLASSIC the default
//! and its example, in cn-hongkong, relies on it.

use serde::Deserialize;

use crate::ids::{RegionId, ZoneId};

/// One geographic region.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Line")]
pub struct Region {
    /// E.g. `cn-hongkong`.
    pub id: RegionId,
    /// Three characters that stand for the region in ids, e.g. `j6c` in `r-j6c…`.
    pub code: String,
    /// The English `LocalName`.
    pub name_en: String,
    /// The Chinese `LocalName`, which is the default of the API.
    pub name_zh: String,
    /// Its zones; the first is taken when a request names none.
    pub zones: Vec<Zone>,
    /// Whether instances may be created on the classic network.
    pub classic: bool,
    /// Whether the central endpoint serves it; its connection domains then have no region part.
    pub central: bool,
    /// Price level in percent of the catalogue's prices.
    pub price_percent: u32,
}

/// One zone, or one of the vendor's multi-zone ids such as `cn-hangzhou-MAZ6(b,f)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// E.g. `cn-hongkong-b`.
    pub id: ZoneId,
    /// The Chinese `ZoneName`, which is the default of the API.
    pub name: String,
    /// The English `ZoneName`.
    pub name_en: String,
    /// Whether VPCs work there unless an operator says otherwise.
    pub vpc: bool,
}

impl Region {
    /// The zone of that id, if it is one of this region's.
    pub fn zone(&self, id: &ZoneId) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.id == *id)
    }

    /// The host name that serves the API for this region at the vendor.
    pub fn endpoint(&self) -> String {
        match self.domain_label() {
            None => "r-kvstore.aliyuncs.com".into(),
            Some(label) => format!("r-kvstore.{label}.aliyuncs.com"),
        }
    }

    /// The region part of connection domains: none for regions of the central group.
    pub fn domain_label(&self) -> Option<&str> {
        (!self.central).then_some(self.id.as_str())
    }
}

/// A line of the data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: RegionId,
    code: String,
    name_en: String,
    name_zh: String,
    classic: bool,
    central: bool,
    price_percent: u32,
    zones: Vec<ZoneId>,
}

impl TryFrom<Line> for Region {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let zones = line.zones.iter().map(|id| zone(&line, id)).collect::<Result<_, _>>()?;
        Ok(Self {
            zones,
            id: line.id,
            code: line.code,
            name_en: line.name_en,
            name_zh: line.name_zh,
            classic: line.classic,
            central: line.central,
            price_percent: line.price_percent,
        })
    }
}

/// Names a zone after its region and the rest of its id; single letters are shown in capitals.
fn zone(line: &Line, id: &ZoneId) -> Result<Zone, String> {
    let rest = id
        .as_str()
        .strip_prefix(line.id.as_str())
        .ok_or_else(|| format!("zone {id} is not of region {}", line.id))?
        .trim_start_matches('-');
    let letter = if rest.len() == 1 { rest.to_ascii_uppercase() } else { rest.to_owned() };
    Ok(Zone {
        id: id.clone(),
        name: format!("{} 可用区 {letter}", line.name_zh),
        name_en: format!("{} Zone {letter}", line.name_en),
        vpc: true,
    })
}
