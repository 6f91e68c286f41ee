//! Columns that line up: cells end in a tab, and a column is as wide as its widest cell among the lines that follow
//! each other and have that column. The rule of Go's tabwriter, so texts align as kubectl's do.

/// Spaces out the cells of a text.
pub fn align(text: &str, width_min: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> =
        text.strip_suffix('\n').unwrap_or(text).split('\n').map(|line| line.split('\t').collect()).collect();
    if text.is_empty() {
        return String::new();
    }
    let mut aligner =
        Aligner { lines: &lines, width_min, padding, widths: Vec::new(), out: String::with_capacity(text.len() * 2) };
    aligner.format(0, lines.len());
    aligner.out
}

/// As kubectl aligns the tables of `get`.
pub fn table(text: &str) -> String {
    align(text, 6, 3)
}

/// As kubectl aligns the texts of `describe`.
pub fn details(text: &str) -> String {
    align(text, 0, 2)
}

struct Aligner<'a> {
    lines: &'a [Vec<&'a str>],
    width_min: usize,
    padding: usize,
    widths: Vec<usize>,
    out: String,
}

impl Aligner<'_> {
    fn format(&mut self, mut begin: usize, end: usize) {
        let column = self.widths.len();
        let has = |line: usize| column + 1 < self.lines[line].len();
        let mut line = begin;
        while line < end {
            if !has(line) {
                line += 1;
                continue;
            }
            self.write(begin, line);
            begin = line;
            let mut width = self.width_min;
            while line < end && has(line) {
                width = width.max(self.lines[line][column].chars().count() + self.padding);
                line += 1;
            }
            self.widths.push(width);
            self.format(begin, line);
            self.widths.pop();
            begin = line;
        }
        self.write(begin, end);
    }

    fn write(&mut self, begin: usize, end: usize) {
        for line in &self.lines[begin..end] {
            for (index, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(index).filter(|_| index + 1 < line.len()) {
                    self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        assert_eq!(table("NAME\tREADY\tAGE\npod-1\t1/1\t3s\n"), "NAME    READY   AGE\npod-1   1/1     3s\n");
        assert_eq!(table("A\tB\n1\t2\n"), "A     B\n1     2\n");
    }

    #[test]
    fn a_line_without_the_column_ends_it() {
        let text = "Name:\tp\nContainers:\n  c:\n    Image:\tx\n    State:\tWaiting\n      Reason:\tBackOff\nA:\tb\n";
        let want = "Name:  p\nContainers:\n  c:\n    Image:     x\n    State:     Waiting\n      Reason:  BackOff\nA:             b\n";
        assert_eq!(details(text), want);
    }

    #[test]
    fn empty_text_stays_empty() {
        assert_eq!(details(""), "");
    }
}
