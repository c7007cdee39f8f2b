//! What became of an export: what could not be carried over and why, what has to be asked, what has
//! no counterpart. As Markdown for people, as data for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::source::Item;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A rule that is not in the result.
    LeftOut,
    /// In the result, and it may not mean what was meant.
    Warning,
    /// What the export does not say.
    Question,
    /// Nothing to carry over, with the reason.
    NotApplicable,
    /// Carried over in another form.
    Note,
}

const LEVELS: [(Level, &str, &str); 5] = [
    (
        Level::LeftOut,
        "Left out",
        "These rules are not in the result.",
    ),
    (
        Level::Warning,
        "Look at these",
        "They are in the result and may not mean what was meant.",
    ),
    (
        Level::Question,
        "Questions",
        "The export does not say; this is what was assumed.",
    ),
    (
        Level::NotApplicable,
        "Not applicable",
        "These settings have no counterpart, and need none for the reason given.",
    ),
    (Level::Note, "Notes", "Carried over in another form."),
];

/// One thing to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub level: Level,
    /// File of the export, with the line where it is known.
    pub file: String,
    /// Objects that it is about.
    pub objects: Vec<String>,
    pub property: String,
    pub why: String,
    pub remedy: String,
}

/// How much of what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    pub objects: usize,
    pub trunks: usize,
    pub routes: usize,
    pub rules: usize,
    pub cases: usize,
}

/// Everything to know, in the order found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub files: Vec<String>,
    pub counts: Counts,
    pub written: Vec<String>,
    pub findings: Vec<Finding>,
}

impl Report {
    /// Takes down a finding. What is the same of several objects is said once.
    pub fn add(&mut self, level: Level, about: &About<'_>, why: &str, remedy: &str) {
        let same = |it: &&mut Finding| {
            it.level == level
                && it.property == about.property
                && it.why == why
                && it.remedy == remedy
        };
        match self.findings.iter_mut().find(same) {
            Some(finding) if finding.objects.contains(&about.object) => {}
            Some(finding) => finding.objects.push(about.object.clone()),
            None => self.findings.push(Finding {
                level,
                file: about.file.clone(),
                objects: vec![about.object.clone()],
                property: about.property.to_owned(),
                why: why.to_owned(),
                remedy: remedy.to_owned(),
            }),
        }
    }

    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|it| it.level == level).count()
    }

    /// For standard output.
    pub fn summary(&self) -> String {
        let Counts {
            objects,
            trunks,
            routes,
            rules,
            cases,
        } = self.counts;
        let mut text = format!(
            "{objects} objects of {} files: {trunks} trunks, {routes} routes, {rules} number rules, \
             {cases} cases\n",
            self.files.len()
        );
        for finding in &self.findings {
            let mark = match finding.level {
                Level::LeftOut => "left out",
                Level::Warning => "warning",
                Level::Question => "question",
                Level::NotApplicable | Level::Note => continue,
            };
            let _infallible = writeln!(text, "{mark}: {}", finding.in_one_line());
        }
        let _infallible = writeln!(
            text,
            "{} left out, {} warnings, {} questions, {} settings not applicable; wrote {}",
            self.count(Level::LeftOut),
            self.count(Level::Warning),
            self.count(Level::Question),
            self.count(Level::NotApplicable),
            self.written.join(", ")
        );
        text
    }

    /// `import-report.md`.
    pub fn to_markdown(&self) -> String {
        let Counts {
            objects,
            trunks,
            routes,
            rules,
            cases,
        } = self.counts;
        let mut text = format!(
            "# Import\n\n{objects} objects of {} became {trunks} trunks, {routes} routes, {rules} number rules \
             and {cases} cases. `intertrunk check -c intertrunk.toml` reads the result.\n",
            self.files.join(", ")
        );
        for (level, title, about) in LEVELS {
            let mut findings = self
                .findings
                .iter()
                .filter(|it| it.level == level)
                .peekable();
            if findings.peek().is_none() {
                continue;
            }
            let _infallible = writeln!(text, "\n## {title}\n\n{about}\n");
            for finding in findings {
                let _infallible = writeln!(text, "- {}", finding.in_one_line());
            }
        }
        text
    }
}

impl Finding {
    fn in_one_line(&self) -> String {
        let objects = self.objects.join(", ");
        let mut line = match (self.file.is_empty(), self.property.is_empty()) {
            (true, true) => objects,
            (true, false) => format!("{objects}, {}", self.property),
            (false, true) => format!("{}: {objects}", self.file),
            (false, false) => format!("{}: {objects}, {}", self.file, self.property),
        };
        let _infallible = write!(line, ": {}", self.why);
        if !self.remedy.is_empty() {
            let _infallible = write!(line, "; {}", self.remedy);
        }
        line
    }
}

/// What a finding is about.
#[derive(Clone, Debug)]
pub struct About<'a> {
    pub file: String,
    pub object: String,
    pub property: &'a str,
}

impl<'a> About<'a> {
    /// A property of an object of the export.
    pub fn of(item: &Item, property: &'a str) -> About<'a> {
        let file = match item.object.line {
            Some(line) => format!("{}:{line}", item.file),
            None => item.file.clone(),
        };
        About {
            file,
            object: format!("{} {:?}", item.kind.noun(), item.identity()),
            property,
        }
    }

    /// A part of it, such as a rule of a list.
    pub fn part(&self, name: &str) -> About<'a> {
        About {
            object: format!("{}, {name:?}", self.object),
            ..self.clone()
        }
    }

    pub fn property(&self, property: &'a str) -> About<'a> {
        About {
            property,
            ..self.clone()
        }
    }

    /// All of it.
    pub fn everything(object: &str) -> About<'a> {
        About {
            file: String::new(),
            object: object.to_owned(),
            property: "",
        }
    }
}
