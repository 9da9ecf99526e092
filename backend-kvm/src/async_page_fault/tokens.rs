//! Which tokens are outstanding.
//!
//! A page can be there before the CPU that faulted has said so, if the host names it to another CPU.
//! So tokens that nobody has faulted for are remembered, the latest of them: there is one on each CPU
//! at most for which that is so, and a host that names others gains nothing by it.

use super::Token;

/// As many as Linux's KVM has outstanding on four CPUs (ASYNC_PF_PER_VCPU is 64).
const OUTSTANDING: usize = 256;
const EARLY: usize = 64;

pub(super) struct Tokens {
    outstanding: [Token; OUTSTANDING],
    early: [Token; EARLY],
    /// Where the next early one goes, over the oldest.
    next_early: usize,
}

impl Tokens {
    pub(super) const fn new() -> Self {
        Tokens {
            outstanding: [Token::NONE; OUTSTANDING],
            early: [Token::NONE; EARLY],
            next_early: 0,
        }
    }

    /// Makes a token outstanding, unless its page is there already. If there is no room, it is not: the
    /// task goes on at once and faults again, until the page is there.
    pub(super) fn fault(&mut self, token: Token) {
        // The host can name neither as a page that is there.
        if [Token::NONE, Token::ALL].contains(&token) {
            return;
        }
        if let Some(early) = find(&mut self.early, token) {
            *early = Token::NONE;
        } else if let Some(free) = find(&mut self.outstanding, Token::NONE) {
            *free = token;
        }
    }

    /// The page of a token is there, or those of all.
    pub(super) fn ready(&mut self, token: Token) {
        if token == Token::ALL {
            self.outstanding.fill(Token::NONE);
            return;
        }
        let mut is_early = true;
        // A host may have used a token twice; both tasks go on.
        while let Some(outstanding) = find(&mut self.outstanding, token) {
            *outstanding = Token::NONE;
            is_early = false;
        }
        if is_early && find(&mut self.early, token).is_none() {
            self.early[self.next_early] = token;
            self.next_early = (self.next_early + 1) % EARLY;
        }
    }

    pub(super) fn is_outstanding(&self, token: Token) -> bool {
        token != Token::NONE && self.outstanding.contains(&token)
    }
}

fn find(tokens: &mut [Token], token: Token) -> Option<&mut Token> {
    tokens.iter_mut().find(|slot| **slot == token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens as KVM makes them.
    fn numbered(count: usize) -> impl Iterator<Item = Token> {
        (1..=count as u32).map(|number| Token(number << 12))
    }

    #[test]
    fn a_token_is_outstanding_until_its_page_is_there() {
        let mut tokens = Tokens::new();
        let [first, second] = [Token(0x1000), Token(0x2000)];
        tokens.fault(first);
        tokens.fault(second);
        tokens.ready(second);
        assert!(tokens.is_outstanding(first) && !tokens.is_outstanding(second));
        tokens.ready(first);
        assert!(!tokens.is_outstanding(first));
    }

    #[test]
    fn a_page_that_is_there_before_its_fault_is_not_waited_for_once() {
        let mut tokens = Tokens::new();
        let token = Token(0x1000);
        tokens.ready(token);
        tokens.ready(token);
        tokens.fault(token);
        assert!(!tokens.is_outstanding(token));
        tokens.fault(token);
        assert!(tokens.is_outstanding(token));
    }

    #[test]
    fn all_are_ready_at_once_but_those_to_come() {
        let mut tokens = Tokens::new();
        numbered(OUTSTANDING).for_each(|token| tokens.fault(token));
        assert!(numbered(OUTSTANDING).all(|token| tokens.is_outstanding(token)));
        tokens.ready(Token::ALL);
        assert!(!numbered(OUTSTANDING).any(|token| tokens.is_outstanding(token)));
        tokens.fault(Token(0x1000));
        assert!(tokens.is_outstanding(Token(0x1000)));
    }

    #[test]
    fn nobody_waits_for_whom_there_is_no_room() {
        let mut tokens = Tokens::new();
        numbered(OUTSTANDING).for_each(|token| tokens.fault(token));
        let late = Token(1);
        tokens.fault(late);
        assert!(!tokens.is_outstanding(late));
        tokens.ready(Token(0x1000));
        tokens.fault(late);
        assert!(tokens.is_outstanding(late));
    }

    #[test]
    fn what_the_host_can_not_name_is_not_waited_for() {
        let mut tokens = Tokens::new();
        for token in [Token::NONE, Token::ALL] {
            tokens.fault(token);
            assert!(!tokens.is_outstanding(token));
        }
        assert!(tokens.outstanding.iter().all(|&slot| slot == Token::NONE));
    }

    #[test]
    fn a_token_that_is_used_twice_wakes_both() {
        let mut tokens = Tokens::new();
        (0..OUTSTANDING).for_each(|_| tokens.fault(Token(7)));
        tokens.ready(Token(7));
        assert!(!tokens.is_outstanding(Token(7)));
    }

    #[test]
    fn a_storm_of_tokens_that_nobody_waits_for_leaves_the_latest() {
        const STORM: usize = if cfg!(miri) { EARLY + 20 } else { 1000 };
        let mut tokens = Tokens::new();
        let waiting = Token(1);
        tokens.fault(waiting);
        numbered(STORM).for_each(|token| tokens.ready(token));
        assert!(tokens.is_outstanding(waiting));
        for (age, token) in (0..STORM).rev().zip(numbered(STORM)) {
            tokens.fault(token);
            assert_eq!(tokens.is_outstanding(token), age >= EARLY, "{age}");
            tokens.ready(token);
        }
        tokens.ready(waiting);
        assert!(!tokens.is_outstanding(waiting));
    }
}
