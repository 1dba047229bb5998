//! Pools: servers that wait for someone, so that nobody waits for a server. The laws of what a pool should do next; no I/O.
//!
//! People come before pools: nothing is launched for a pool while someone waits for a launch. A pool that keeps failing is
//! left alone for longer each time.

use super::id::StackId;
use super::stack::StackState;
use super::time::{Timestamp, parse_length};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// How many members of one pool are being made at a time.
pub const MAKING: usize = 1;
const FIRST_PAUSE_MS: i64 = 60_000;
const LONGEST_PAUSE_MS: i64 = 6 * 3_600_000;

/// What a pool should hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// How many members run, ready to be taken.
    #[serde(default)]
    pub hot: u32,
    /// How many more sleep, ready to be woken.
    #[serde(default)]
    pub stopped: u32,
    /// How old a member may get before another takes its place, such as `24h`; a day where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<String>,
    /// When there should be members at all; always where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

/// Hours of some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Days such as `mon`; every day where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// From this time of day, such as `07:30`.
    pub from: String,
    /// To this time of day; past midnight where it is earlier than the beginning.
    pub to: String,
    /// The time zone, such as `Europe/Berlin`; UTC where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// A member as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its stack.
    pub stack: StackId,
    /// The stack's state.
    pub state: StackState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Whether it is what a launch of the preset would give now.
    pub fresh: bool,
}

/// What to do with a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a member.
    Launch,
    /// Put a member to sleep.
    Stop(StackId),
    /// Wake a member.
    Start(StackId),
    /// Destroy a member, and why.
    Destroy(StackId, &'static str),
}

impl Window {
    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        if let Some(day) = self.days.iter().find(|day| weekday(day).is_none()) {
            return Some(format!("`{day}` is no day: they are mon, tue, wed, thu, fri, sat and sun"));
        }
        if let Some(time) = [&self.from, &self.to].into_iter().find(|text| minute(text).is_none()) {
            return Some(format!("`{time}` is no time of day such as 07:30"));
        }
        let zone = self.zone.as_deref()?;
        TimeZone::get(zone)
            .is_err()
            .then(|| format!("`{zone}` is no time zone such as Europe/Berlin"))
    }

    /// Whether a moment lies in it.
    pub fn contains(&self, now: Timestamp) -> bool {
        let zone = self
            .zone
            .as_deref()
            .and_then(|zone| TimeZone::get(zone).ok())
            .unwrap_or(TimeZone::UTC);
        let (Ok(at), Some(from), Some(to)) = (jiff::Timestamp::from_millisecond(now.0), minute(&self.from), minute(&self.to))
        else {
            return false;
        };
        let local = at.to_zoned(zone);
        let here = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let on = |day: Weekday| self.days.is_empty() || self.days.iter().any(|name| weekday(name) == Some(day));
        if from <= to {
            return on(local.weekday()) && (from..to).contains(&here);
        }
        // Over midnight: the early hours belong to the day before.
        (on(local.weekday()) && here >= from) || (on(local.weekday().previous()) && here < to)
    }
}

impl PoolSpec {
    /// What is wrong with it, by field.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.hot + self.stopped > 100 {
            found.push(("pool".to_owned(), "a pool holds at most 100 members".to_owned()));
        }
        if let Some(Err(why)) = self.expiry.as_deref().map(parse_length) {
            found.push(("pool.expiry".to_owned(), why));
        }
        for (index, window) in self.windows.iter().enumerate() {
            found.extend(window.problem().map(|why| (format!("pool.windows[{index}]"), why)));
        }
        found
    }

    /// How many members should run and sleep at this moment.
    pub fn wanted(&self, now: Timestamp) -> (usize, usize) {
        let open = self.windows.is_empty() || self.windows.iter().any(|window| window.contains(now));
        if open {
            (self.hot as usize, self.stopped as usize)
        } else {
            (0, 0)
        }
    }

    fn expiry_ms(&self) -> i64 {
        let asked = self.expiry.as_deref().and_then(|text| parse_length(text).ok());
        asked.unwrap_or(24 * 3_600_000)
    }
}

/// How long a pool is left alone after so many failures in a row.
pub fn pause_ms(failures: i64) -> i64 {
    let doublings = u32::try_from(failures.clamp(1, 20) - 1).unwrap_or_default();
    FIRST_PAUSE_MS.saturating_mul(1 << doublings).min(LONGEST_PAUSE_MS)
}

/// What to do now. `may_launch` is false while someone waits for a launch, or after failures.
pub fn decide(pool: &PoolSpec, members: &[Member], may_launch: bool, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    let (hot, stopped) = pool.wanted(now);
    let settled = |m: &&Member| matches!(m.state, StackState::Ready | StackState::Stopped);
    let mut kept: Vec<&Member> = Vec::new();
    let mut making = 0;
    for member in members {
        match member.state {
            StackState::Destroying | StackState::Destroyed => {}
            StackState::Failed | StackState::Tainted => actions.push(Action::Destroy(member.stack.clone(), "it failed")),
            _ if !member.fresh && settled(&member) => actions.push(Action::Destroy(member.stack.clone(), "it is out of date")),
            StackState::Ready | StackState::Stopped if now.since(member.created_at) > pool.expiry_ms() => {
                actions.push(Action::Destroy(member.stack.clone(), "it is too old"));
            }
            StackState::Ready | StackState::Stopped => kept.push(member),
            _ => making += 1,
        }
    }
    // The oldest go first.
    kept.sort_by_key(|member| std::cmp::Reverse(member.created_at));
    while kept.len() > hot + stopped {
        if let Some(member) = kept.pop() {
            actions.push(Action::Destroy(member.stack.clone(), "there are enough"));
        }
    }
    let running = kept.iter().filter(|m| m.state == StackState::Ready).count();
    let asleep = kept.len() - running;
    let surplus = kept.iter().filter(|m| m.state == StackState::Ready).skip(hot);
    actions.extend(surplus.map(|m| Action::Stop(m.stack.clone())));
    // One that wakes is quicker there than one that is made; the one that is made takes its place among the sleepers.
    let wakers = kept.iter().filter(|m| m.state == StackState::Stopped);
    actions.extend(
        wakers
            .take(hot.saturating_sub(running + making).min(asleep))
            .map(|m| Action::Start(m.stack.clone())),
    );
    let missing = (hot + stopped).saturating_sub(kept.len() + making);
    if may_launch {
        let launches = missing.min(MAKING.saturating_sub(making));
        actions.extend(std::iter::repeat_n(Action::Launch, launches));
    }
    actions
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    })
}

fn minute(text: &str) -> Option<i32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (i32, i32) = (hour.parse().ok()?, minute.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute) || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // A Monday at noon, UTC.
    const MONDAY_NOON: Timestamp = Timestamp(1_790_596_800_000);
    const HOUR: i64 = 3_600_000;

    fn pool(hot: u32, stopped: u32) -> PoolSpec {
        PoolSpec {
            hot,
            stopped,
            ..PoolSpec::default()
        }
    }

    fn member(number: u128, state: StackState) -> Member {
        Member {
            stack: StackId::from_bits(number),
            state,
            created_at: MONDAY_NOON.plus(-HOUR),
            fresh: true,
        }
    }

    #[test]
    fn an_empty_pool_is_filled_one_by_one_and_not_while_people_wait() {
        assert_eq!(decide(&pool(2, 1), &[], true, MONDAY_NOON), [Action::Launch]);
        assert_eq!(decide(&pool(2, 1), &[], false, MONDAY_NOON), []);
        let making = [member(1, StackState::Building)];
        assert_eq!(decide(&pool(2, 1), &making, true, MONDAY_NOON), []);
    }

    #[test]
    fn a_member_that_was_taken_is_woken_first_and_made_anew_second() {
        let members = [member(1, StackState::Stopped)];
        let actions = decide(&pool(1, 1), &members, true, MONDAY_NOON);
        assert_eq!(actions, [Action::Start(StackId::from_bits(1)), Action::Launch]);
    }

    #[test]
    fn what_is_old_failed_or_out_of_date_goes() {
        let mut old = member(1, StackState::Ready);
        old.created_at = MONDAY_NOON.plus(-25 * HOUR);
        let mut stale = member(2, StackState::Stopped);
        stale.fresh = false;
        let members = [old, stale, member(3, StackState::Failed), member(4, StackState::Destroying)];
        let actions = decide(&pool(1, 0), &members, false, MONDAY_NOON);
        let gone: Vec<_> = actions.iter().map(|a| matches!(a, Action::Destroy(..))).collect();
        assert_eq!(gone, [true, true, true], "{actions:?}");
    }

    #[test]
    fn outside_its_hours_a_pool_is_empty() {
        let mut spec = pool(1, 1);
        let window = |days: &[&str], from: &str, to: &str, zone: Option<&str>| Window {
            days: days.iter().map(|d| (*d).to_owned()).collect(),
            from: from.into(),
            to: to.into(),
            zone: zone.map(str::to_owned),
        };
        for (one, open) in [
            (window(&["mon"], "07:00", "19:00", None), true),
            (window(&["tue"], "07:00", "19:00", None), false),
            (window(&[], "11:00", "12:00", None), false),
            (window(&[], "13:00", "15:00", Some("Europe/Berlin")), true),
            (window(&["sun"], "22:00", "13:00", None), true),
            (window(&["mon"], "22:00", "13:00", None), false),
        ] {
            spec.windows = vec![one.clone()];
            assert_eq!(spec.wanted(MONDAY_NOON) == (1, 1), open, "{one:?}");
        }
        assert_eq!(
            window(&["monday"], "7", "25:00", Some("Mars/Base"))
                .problem()
                .unwrap()
                .split('`')
                .nth(1),
            Some("monday")
        );
        assert!(window(&[], "7", "9:00", None).problem().is_some() && window(&[], "7:00", "9:00", Some("x")).problem().is_some());
    }

    #[test]
    fn the_pause_grows_and_has_an_end() {
        assert_eq!(
            (pause_ms(1), pause_ms(2), pause_ms(1000)),
            (60_000, 120_000, LONGEST_PAUSE_MS)
        );
    }

    proptest! {
        #[test]
        fn a_pool_comes_to_rest_and_never_holds_more_than_it_should(
            hot in 0_u32..5, stopped in 0_u32..5, states in proptest::collection::vec(0_usize..6, 0..12),
        ) {
            let spec = pool(hot, stopped);
            let all = [StackState::Ready, StackState::Stopped, StackState::Building, StackState::Failed, StackState::Stopping, StackState::Starting];
            let mut members: Vec<Member> = states.iter().zip(1..).map(|(state, n)| member(n, all[*state])).collect();
            let mut next = 100;
            for _ in 0..40 {
                // What is under way comes to its end.
                for member in &mut members {
                    member.state = match member.state {
                        StackState::Building | StackState::Starting => StackState::Ready,
                        StackState::Stopping => StackState::Stopped,
                        state => state,
                    };
                }
                for action in decide(&spec, &members, true, MONDAY_NOON) {
                    let mut set = |id: &StackId, state| {
                        members.iter_mut().find(|m| m.stack == *id).expect("it is a member").state = state;
                    };
                    match action {
                        Action::Launch => { members.push(member(next, StackState::Building)); next += 1; }
                        Action::Stop(id) => set(&id, StackState::Stopping),
                        Action::Start(id) => set(&id, StackState::Starting),
                        Action::Destroy(id, _) => members.retain(|m| m.stack != id),
                    }
                }
            }
            let count = |state| members.iter().filter(|m| m.state == state).count();
            prop_assert_eq!((count(StackState::Ready), count(StackState::Stopped)), (hot as usize, stopped as usize));
            prop_assert_eq!(members.len(), (hot + stopped) as usize);
        }
    }
}
