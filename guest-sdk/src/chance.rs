//! Chance that can be repeated: all of it comes from the seed of the query.

use crate::Query;

impl Query {
    /// One of several, each as often as its weight among the sum of all weights; `None` if no weight
    /// is above 0. The same query always gives the same.
    ///
    /// ```
    /// let query = intertrunk_sdk::test::query("pbx-a", "+14255550100");
    /// let carrier = query.pick([("gw-a", 70), ("gw-b", 30)]);
    /// assert_eq!(carrier, query.pick([("gw-a", 70), ("gw-b", 30)]));
    /// assert_eq!(query.pick([("gw-a", 1), ("gw-b", 0)]), Some("gw-a"));
    /// ```
    pub fn pick<T>(&self, choices: impl IntoIterator<Item = (T, u32)>) -> Option<T> {
        let mut choices: Vec<(T, u32)> = choices.into_iter().collect();
        let at = chosen(&choices, &mut self.chance())?;
        Some(choices.swap_remove(at).0)
    }

    /// All of them, in an order of chance: each place goes to one of the rest as often as its weight
    /// among theirs, as SRV records are ordered (RFC 2782). Those with weight 0 come last, as they
    /// stand.
    ///
    /// ```
    /// use intertrunk_sdk::Plan;
    ///
    /// let query = intertrunk_sdk::test::query("pbx-a", "+14255550100");
    /// let plan: Plan = query.shuffle([("gw-a", 70), ("gw-b", 30), ("reserve", 0)]).into_iter().collect();
    /// assert_eq!(plan.candidates.len(), 3);
    /// assert_eq!(plan.candidates[2].trunk, "reserve");
    /// ```
    pub fn shuffle<T>(&self, choices: impl IntoIterator<Item = (T, u32)>) -> Vec<T> {
        let mut rest: Vec<(T, u32)> = choices.into_iter().collect();
        let mut order = Vec::with_capacity(rest.len());
        let mut chance = self.chance();
        while let Some(at) = chosen(&rest, &mut chance) {
            order.push(rest.remove(at).0);
        }
        order.extend(rest.into_iter().map(|(choice, _)| choice));
        order
    }

    fn chance(&self) -> SplitMix64 {
        SplitMix64(self.seed)
    }
}

/// Where the one lies that chance falls on.
fn chosen<T>(choices: &[(T, u32)], chance: &mut SplitMix64) -> Option<usize> {
    let sum: u64 = choices.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut left = chance.below(sum)?;
    choices.iter().position(|(_, weight)| {
        let weight = u64::from(*weight);
        let is_it = left < weight;
        left = left.saturating_sub(weight);
        is_it
    })
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014). Written here since
/// a recorded decision must be repeated by policies that are built years later: no update of a crate
/// may change what a seed means.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, all of them alike but for one part in 2³² at worst; `None` below 0.
    fn below(&mut self, bound: u64) -> Option<u64> {
        let scaled = u128::from(self.next()) * u128::from(bound);
        (bound > 0).then_some(u64::try_from(scaled >> 64).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::query;

    fn queries() -> impl Iterator<Item = Query> {
        (0..10_000).map(|seed| Query {
            seed,
            ..query("pbx-a", "+1")
        })
    }

    #[test]
    fn each_is_picked_as_often_as_its_weight() {
        let weights = [("a", 60), ("b", 30), ("c", 10), ("d", 0)];
        for (name, weight) in weights {
            let times = queries().filter(|q| q.pick(weights) == Some(name)).count();
            let expected = weight as usize * 100;
            assert!(times.abs_diff(expected) <= 200, "{name}: {times} of 10,000");
        }
        assert_eq!(query("a", "1").pick([("a", 0)]), None);
        assert_eq!(query("a", "1").pick([("a", u32::MAX)]), Some("a"));
    }

    #[test]
    fn an_order_has_all_of_them_and_follows_the_weights() {
        let weights = [("a", 60), ("b", 30), ("c", 10), ("d", 0)];
        let mut second = 0;
        for query in queries() {
            let order = query.shuffle(weights);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, ["a", "b", "c", "d"]);
            assert_eq!(order[3], "d");
            second += usize::from(order[..2] == ["a", "b"]);
        }
        // 0.6 × 30 / 40
        assert!(second.abs_diff(4_500) <= 200, "{second} of 10,000");
    }

    #[test]
    fn what_a_seed_means_never_changes() {
        let mut chance = SplitMix64(1);
        assert_eq!(
            [chance.next(), chance.next()],
            [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67]
        );
    }
}
