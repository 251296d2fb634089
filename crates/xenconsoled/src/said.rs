//! What was said of a trouble that lasts: it is tried again and again, and told once.

/// The last that was said.
#[derive(Debug, Default)]
pub struct Said(Option<String>);

impl Said {
    /// Whether this is something else than what was said last; it is said from now on.
    pub fn is_news(&mut self, why: &str) -> bool {
        let is_news = self.0.as_deref() != Some(why);
        if is_news {
            self.0 = Some(why.to_owned());
        }
        is_news
    }

    /// The trouble is over: the next one is news, whatever it is. True if there was one.
    pub fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_that_lasts_is_told_once() {
        let mut said = Said::default();
        assert!(!said.is_over());
        assert!(said.is_news("a") && !said.is_news("a"));
        assert!(said.is_news("b") && said.is_news("a"));
        assert!(said.is_over() && !said.is_over());
        assert!(said.is_news("a"));
    }
}
