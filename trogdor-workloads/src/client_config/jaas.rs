//! `sasl.jaas.config`: one login module with its options, read as Kafka reads it, which is by Java's
//! `StreamTokenizer` with all its oddities (a bare `/` starts a comment, `abc123` is a word, `123` is not).
//! It deliberately judges neither the module nor its options. Errors are Kafka's sentences, but show nothing
//! of the text that could be a secret.

use std::collections::BTreeMap;

use super::secrets::HIDDEN;

/// The one entry of a JAAS configuration. No `Debug`: its options hold passwords.
pub(super) struct LoginModule {
    pub(super) class: String,
    pub(super) options: BTreeMap<String, String>,
}

impl LoginModule {
    /// The value of an option. One of blanks only would be nothing at all to librdkafka.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.option(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Option names that an error may show; any other word may be a piece of a password.
const KNOWN_OPTIONS: &[&str] = &[
    "username",
    "password",
    "tokenauth",
    "serviceName",
    "keyTab",
    "principal",
    "useKeyTab",
    "useTicketCache",
    "storeKey",
    "clientId",
    "clientSecret",
    "scope",
    "unsecuredLoginStringClaim_sub",
    "unsecuredLoginListClaim_scope",
    "unsecuredLoginLifetimeSeconds",
];

/// Reads a JAAS configuration of exactly one login module.
pub(super) fn parse(text: &str) -> Result<LoginModule, String> {
    let mut tokens = Tokens::new(text);
    let mut modules = Vec::new();
    while let Some(class) = tokens.next() {
        modules.push(entry(class, &mut tokens)?);
    }
    let count = modules.len();
    match modules.pop() {
        None => Err("Login module not specified in JAAS config".to_owned()),
        Some(module) if count == 1 => Ok(module),
        Some(_) => Err(format!("JAAS config property contains {count} login modules, should be 1 module")),
    }
}

fn entry(class: Token, tokens: &mut Tokens) -> Result<LoginModule, String> {
    let class = class.into_text().unwrap_or_default();
    let flag = tokens.next().ok_or("Login module control flag not specified in JAAS config")?;
    check_flag(flag, &class)?;
    let mut options = BTreeMap::new();
    loop {
        match tokens.next() {
            None => return Err("JAAS config entry not terminated by semi-colon".to_owned()),
            Some(Token::Sign(';')) => return Ok(LoginModule { class, options }),
            Some(key) => {
                let key = key.into_text();
                let is_set = tokens.next() == Some(Token::Sign('='));
                let value = tokens.next().and_then(Token::into_text).filter(|_| is_set);
                let value = value.ok_or_else(|| no_value(key.as_deref()))?;
                // Kafka keeps a value without a name, and nobody asks for it.
                if let Some(key) = key {
                    options.insert(key, value);
                }
            }
        }
    }
}

fn check_flag(flag: Token, class: &str) -> Result<(), String> {
    let Some(flag) = flag.into_text() else {
        return Err("Login module control flag is not available in the JAAS config".to_owned());
    };
    let flags = ["required", "requisite", "sufficient", "optional"];
    if flags.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
        return Ok(());
    }
    // After something that is no class, this is no flag either, and may be a secret.
    let shown = if class.contains('.') { flag.as_str() } else { HIDDEN };
    Err(format!("Invalid login module control flag '{shown}' in JAAS config"))
}

fn no_value(key: Option<&str>) -> String {
    let shown = match key {
        None => "null",
        Some(key) if KNOWN_OPTIONS.contains(&key) => key,
        Some(_) => HIDDEN,
    };
    format!("Value not specified for key '{shown}' in JAAS config")
}

#[derive(PartialEq)]
enum Token {
    /// A bare word or a quoted text.
    Text(String),
    /// A number; Kafka has no use for it.
    Number,
    Sign(char),
}

impl Token {
    fn into_text(self) -> Option<String> {
        match self {
            Token::Text(text) => Some(text),
            Token::Number | Token::Sign(_) => None,
        }
    }
}

/// Java's `StreamTokenizer`, set up as Kafka does.
struct Tokens {
    chars: Vec<char>,
    at: usize,
}

impl Tokens {
    fn new(text: &str) -> Tokens {
        Tokens { chars: text.chars().collect(), at: 0 }
    }

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks_and_comments();
        let first = self.peek()?;
        if first.is_ascii_digit() || first == '.' || first == '-' {
            return Some(self.number_or_sign());
        }
        if starts_word(first) {
            let continues = |c: char| starts_word(c) || c.is_ascii_digit() || c == '.' || c == '-';
            return Some(Token::Text(self.take_while(continues)));
        }
        self.at += 1;
        if first == '"' || first == '\'' {
            return Some(Token::Text(self.quoted(first)));
        }
        Some(Token::Sign(first))
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.take_while(|c| c <= ' ');
            match (self.peek(), self.chars.get(self.at + 1)) {
                (Some('/'), Some('*')) => self.skip_block_comment(),
                (Some('/'), _) => {
                    // The character after the slash belongs to the comment, even a newline.
                    self.at = self.chars.len().min(self.at + 2);
                    self.take_while(|c| c != '\n' && c != '\r');
                }
                _ => return,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        self.at += 2;
        while self.at < self.chars.len() {
            if self.chars[self.at..].starts_with(&['*', '/']) {
                self.at += 2;
                return;
            }
            self.at += 1;
        }
    }

    /// A lone `-` is a sign; anything else that starts like a number is one, even a lone `.`.
    fn number_or_sign(&mut self) -> Token {
        if self.peek() == Some('-') {
            self.at += 1;
            if !self.peek().is_some_and(|c| c.is_ascii_digit() || c == '.') {
                return Token::Sign('-');
            }
        }
        self.take_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        Token::Number
    }

    /// The text up to the closing quote, or to the end of the line.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek().filter(|c| *c != '\n' && *c != '\r') {
            self.at += 1;
            match c {
                '\\' => text.extend(self.escaped()),
                c if c == quote => break,
                c => text.push(c),
            }
        }
        text
    }

    /// What follows a backslash: C's escapes, up to three octal digits, or the character itself.
    fn escaped(&mut self) -> Option<char> {
        let c = self.peek()?;
        if c.is_digit(8) {
            return self.octal();
        }
        self.at += 1;
        Some(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        })
    }

    /// Three digits only if they fit into a byte.
    fn octal(&mut self) -> Option<char> {
        let digits_max = if self.peek()? <= '3' { 3 } else { 2 };
        let mut code = 0;
        for _ in 0..digits_max {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            code = code * 8 + digit;
            self.at += 1;
        }
        char::from_u32(code)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }
}

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '$' || c >= '\u{a0}'
}
