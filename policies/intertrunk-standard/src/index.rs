//! Which routes a number may match, found by its beginning in one walk.

/// Routes by the beginnings of their numbers.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Routes whose beginning ends here.
    routes: Vec<u32>,
    /// Next character and its node. Numbers have few different characters: no search pays.
    next: Vec<(u8, u32)>,
}

impl Default for Trie {
    fn default() -> Self {
        Trie {
            nodes: vec![Node::default()],
        }
    }
}

impl Trie {
    /// Files a route under the beginning of its numbers.
    pub(crate) fn insert(&mut self, start: &[u8], route: u32) {
        let mut at = 0;
        for byte in start {
            at = match self.step(at, *byte) {
                Some(next) => next,
                None => self.grow(at, *byte),
            };
        }
        self.nodes[at].routes.push(route);
    }

    /// Adds the routes that are filed under a beginning of `number`.
    pub(crate) fn collect(&self, number: &[u8], found: &mut Vec<u32>) {
        let mut at = 0;
        found.extend(&self.nodes[at].routes);
        for byte in number {
            let Some(next) = self.step(at, *byte) else {
                return;
            };
            at = next;
            found.extend(&self.nodes[at].routes);
        }
    }

    fn step(&self, at: usize, byte: u8) -> Option<usize> {
        let (_, next) = self.nodes[at].next.iter().find(|(edge, _)| *edge == byte)?;
        Some(*next as usize)
    }

    fn grow(&mut self, at: usize, byte: u8) -> usize {
        let next = self.nodes.len();
        let id = u32::try_from(next).expect("a guest's memory ends long before four billion nodes");
        self.nodes[at].next.push((byte, id));
        self.nodes.push(Node::default());
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_beginnings_of_a_number() {
        let mut trie = Trie::default();
        for (route, start) in ["+1", "+1425", "", "+44", "+1425"].into_iter().zip(0..) {
            trie.insert(route.as_bytes(), start);
        }
        let found = |number: &str| {
            let mut found = Vec::new();
            trie.collect(number.as_bytes(), &mut found);
            found
        };
        assert_eq!(found("+14255550100"), [2, 0, 1, 4]);
        assert_eq!(found("+142"), [2, 0]);
        assert_eq!(found(""), [2]);
    }
}
