//! The page: what is between two marks is replaced, all else was written by hand and stays.

/// Before what is generated.
pub const BEGIN: &str = "<!-- measured: begin. What follows is written by bench/run. -->";
/// After it.
pub const END: &str = "<!-- measured: end -->";

/// The page with this between its marks.
pub fn replace(page: &str, generated: &str) -> Result<String, String> {
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", generated.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_by_hand_stays() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nEnd\n");
        let new = replace(&page, "\nnew\n").unwrap();
        assert_eq!(new, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nEnd\n"));
        assert_eq!(replace(&new, "new").unwrap(), new, "again, nothing changes");
    }

    #[test]
    fn without_marks_nothing_is_written() {
        assert!(replace("# Title", "new").is_err());
        assert!(replace(&format!("{END}{BEGIN}"), "new").is_err(), "in the wrong order");
    }

    #[test]
    fn the_project_s_page_has_its_marks() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md")).unwrap();
        replace(&page, "").unwrap();
    }
}
