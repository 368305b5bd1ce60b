//! `skills`, `needs` and `rings`: what agents can do and what the contacts of a queue ask for, by name.

use offhook_acd::{NEEDS_MAX, RINGS_MAX, SKILLS_MAX, WEIGHT_MAX};
use offhook_units::Span;
use toml::Spanned;
use toml::de::DeValue;

use super::read::{At, Section};
use super::routing::DAY;
use super::{NeedNamed, NeedsNamed, Reader};

/// A skill as it is written: name, level, weight.
struct Written {
    name: At<String>,
    level: u8,
    weight: u8,
}

impl Reader {
    /// `skills = ["french", { skill = "claims", level = 3 }]` of an agent; level 1 where none is given.
    pub fn skills(&mut self, section: &mut Section<'_>) -> Vec<(String, u8)> {
        let skills = self.each_skill(section, "skills", SKILLS_MAX, false);
        skills.into_iter().map(|skill| (skill.name.value, skill.level)).collect()
    }

    /// `needs = ["french", { skill = "claims", level = 3, weight = 2 }]` and `rings = [{ after = "20s", drops = ["french"] }]` of a queue.
    pub fn needs(&mut self, section: &mut Section<'_>) -> NeedsNamed {
        let written = self.each_skill(section, "needs", NEEDS_MAX, true);
        let need = |need: Written| NeedNamed { skill: need.name.value, level: need.level, weight: need.weight };
        let needs: Vec<NeedNamed> = written.into_iter().map(need).collect();
        let mut rings = Vec::new();
        for item in section.items(&mut self.sink, "rings", "[{ after = \"20s\", drops = [\"french\"] }]") {
            rings.extend(self.ring(item, &needs));
        }
        if rings.len() > RINGS_MAX {
            let advice = format!("a queue has at most {RINGS_MAX} rings");
            self.sink.fault(section.span.clone(), "too many rings", advice);
        }
        NeedsNamed { needs, rings }
    }

    fn ring(&mut self, item: &Spanned<DeValue<'_>>, needs: &[NeedNamed]) -> Option<(Span, Vec<String>)> {
        let example = "{ after = \"20s\", drops = [\"french\"] }";
        let Some(table) = item.get_ref().as_table() else {
            self.sink.fault(item.span(), "a ring is a table", format!("write {example}"));
            return None;
        };
        let mut section = Section::of(table, "a ring".to_owned(), item.span());
        let after = section.span(&mut self.sink, "after", Span::from_ms(1)..=DAY);
        let drops = section.texts(&mut self.sink, "drops", "[\"french\"]");
        if !section.has("after") || !section.has("drops") {
            let message = "a ring says when it opens and what it drops";
            self.sink.missing(item.span(), message, format!("write {example}"));
        }
        section.finish(&mut self.sink);
        let (after, drops) = (after?, drops?);
        for drop in &drops.value {
            if !needs.iter().any(|need| need.skill == drop.value) {
                let message = format!("the queue does not need '{}'", drop.value);
                self.sink.warn(drop.span.clone(), message, "a ring drops skills that stand in needs");
            }
        }
        Some((after, drops.value.into_iter().map(|drop| drop.value).collect()))
    }

    fn each_skill(&mut self, section: &mut Section<'_>, key: &'static str, most: usize, weighs: bool) -> Vec<Written> {
        let mut skills: Vec<Written> = Vec::new();
        for item in section.items(&mut self.sink, key, "[\"french\"]") {
            let Some(skill) = self.skill(item, weighs) else { continue };
            if skills.iter().any(|other| other.name.value == skill.name.value) {
                let message = format!("skill '{}' is named twice", skill.name.value);
                self.sink.fault(skill.name.span, message, "take one of the two out");
                continue;
            }
            if skills.len() == most {
                self.sink.fault(skill.name.span, "too many skills", format!("write at most {most}"));
                break;
            }
            skills.push(skill);
        }
        skills
    }

    fn skill(&mut self, item: &Spanned<DeValue<'_>>, weighs: bool) -> Option<Written> {
        if let Some(name) = item.get_ref().as_str() {
            return Some(Written { name: At { value: name.to_owned(), span: item.span() }, level: 1, weight: 1 });
        }
        let Some(table) = item.get_ref().as_table() else {
            let advice = "write \"french\", or { skill = \"french\", level = 2 }";
            self.sink.fault(item.span(), "this is neither a skill's name nor a table", advice);
            return None;
        };
        let mut section = Section::of(table, "a skill".to_owned(), item.span());
        let name = section.need_text(&mut self.sink, "skill", "\"french\"");
        let level = section.number(&mut self.sink, "level", 0..=u64::from(u8::MAX));
        let weights = 0..=u64::from(WEIGHT_MAX);
        let weight = if weighs { section.number(&mut self.sink, "weight", weights) } else { None };
        section.finish(&mut self.sink);
        let (level, weight) =
            (level.map_or(1, |level| level.value as u8), weight.map_or(1, |weight| weight.value as u8));
        Some(Written { name: name?, level, weight })
    }
}
