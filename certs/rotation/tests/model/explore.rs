//! Visits every world that can be reached.

use std::collections::{HashSet, VecDeque};

use super::faults::{EDITS, Edit, Jump};
use super::world::{Look, World, hash};

/// What may still happen, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowance {
    pub crashes: u8,
    pub edits: u8,
    pub losses: u8,
    pub forward: u8,
    pub hour_back: u8,
    pub days_back: u8,
    /// Times at which something ends or is due.
    pub events: u8,
    /// Days that pass, whatever is going on.
    pub days: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    Look(usize),
    Crash(usize),
    Edit(usize, Edit),
    LoseSecret,
    Jump(Jump),
    Event,
    Day,
}

fn moves(world: &World, budget: &Allowance) -> Vec<Move> {
    let mut moves: Vec<Move> = (0..world.replicas.len()).map(Move::Look).collect();
    if budget.crashes > 0 {
        // A replica that has nothing loses nothing.
        let has = |i: &usize| world.replicas[*i].leaf.is_some() || world.replicas[*i].look != Look::Idle;
        moves.extend((0..world.replicas.len()).filter(has).map(Move::Crash));
    }
    if budget.edits > 0 {
        moves.extend((0..world.bundles.len()).flat_map(|index| EDITS.map(|edit| Move::Edit(index, edit))));
    }
    let others = [
        (budget.losses, Move::LoseSecret),
        (budget.forward, Move::Jump(Jump::Days400)),
        (budget.hour_back, Move::Jump(Jump::HourBack)),
        (budget.days_back, Move::Jump(Jump::Days400Back)),
        (budget.days, Move::Day),
        (budget.events * u8::from(world.next_event().is_some()), Move::Event),
    ];
    moves.extend(others.into_iter().filter(|(left, _)| *left > 0).map(|(_, other)| other));
    moves
}

fn make(world: &mut World, budget: &mut Allowance, one: Move) {
    match one {
        Move::Look(replica) => return world.look(replica),
        Move::Crash(replica) => world.crash(replica),
        Move::Edit(index, edit) => world.edit(index, edit),
        Move::LoseSecret => world.lose_secret(None),
        Move::Jump(jump) => world.jump(jump),
        Move::Day => world.advance(24 * 60 * 60),
        Move::Event => world.now = world.next_event().expect("offered only then"),
    }
    let left = match one {
        Move::Look(_) => return,
        Move::Crash(_) => &mut budget.crashes,
        Move::Edit(..) => &mut budget.edits,
        Move::LoseSecret => &mut budget.losses,
        Move::Jump(Jump::Days400) => &mut budget.forward,
        Move::Jump(Jump::HourBack) => &mut budget.hour_back,
        Move::Jump(Jump::Days400Back) => &mut budget.days_back,
        Move::Event => &mut budget.events,
        Move::Day => &mut budget.days,
    };
    *left -= 1;
}

/// What was found.
pub struct Explored {
    pub worlds: usize,
    /// The shortest way to a broken promise, and what is broken.
    pub broken: Option<(Vec<Move>, String)>,
}

/// Visits every world, until a promise is broken.
pub fn find(start: World, budget: Allowance) -> Explored {
    let mut visited = HashSet::from([hash(&(&start, budget))]);
    let mut settled = HashSet::new();
    // Parent and move of every visited world.
    let mut ways: Vec<(usize, Option<Move>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(0, start, budget)]);
    while let Some((number, world, budget)) = queue.pop_front() {
        if let Some(problem) = world.broken().or_else(|| unsettled(&world, &mut settled)) {
            let problem = format!("{problem}\n{world:#?}");
            return Explored { worlds: visited.len(), broken: Some((way(&ways, number), problem)) };
        }
        for one in moves(&world, &budget) {
            let (mut world, mut budget) = (world.clone(), budget);
            make(&mut world, &mut budget, one);
            world.simplify();
            if visited.insert(hash(&(&world, budget))) {
                queue.push_back((ways.len(), world, budget));
                ways.push((number, Some(one)));
            }
        }
    }
    Explored { worlds: visited.len(), broken: None }
}

fn unsettled(world: &World, settled: &mut HashSet<u64>) -> Option<String> {
    // A world in which a look was begun leads to one in which it was not.
    if world.replicas.iter().any(|replica| replica.look != Look::Idle) {
        return None;
    }
    // What may still happen makes no difference to a world in which nothing happens.
    if !settled.insert(hash(world)) {
        return None;
    }
    world.settles().err()
}

fn way(ways: &[(usize, Option<Move>)], mut number: usize) -> Vec<Move> {
    let mut moves = Vec::new();
    while let (parent, Some(one)) = ways[number] {
        moves.push(one);
        number = parent;
    }
    moves.reverse();
    moves
}

/// Visits every world; no promise may be broken.
pub fn explore(name: &str, start: World, budget: Allowance) {
    let explored = find(start, budget);
    println!("{name}: {} worlds", explored.worlds);
    if let Some((moves, problem)) = explored.broken {
        panic!("{name}: {moves:?}\n{problem}");
    }
}
