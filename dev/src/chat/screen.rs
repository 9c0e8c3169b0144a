//! The chat on a terminal's whole screen.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{
        DisableBracketedPaste, EnableBracketedPaste, Event, EventStream, KeyCode, KeyEvent,
        KeyEventKind, KeyModifiers,
    },
    execute, queue,
    style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor},
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate,
        EnterAlternateScreen, LeaveAlternateScreen,
    },
};
use futures_util::StreamExt as _;
use schemas::Millis;

use super::{
    app::{App, Happening, describe},
    editor::Editor,
    layout::{clip, width, wrap},
    model::{Link, Model, Note, Shown},
    text::{harmless, one_line},
};
use crate::client::Tick;

/// How often the clock on the screen moves: the time to the next try, and the
/// end of typing.
const TICK: Duration = Duration::from_secs(1);
/// Rows besides the messages: a title, a line of news and the input.
const FRAME_ROWS: u16 = 3;
/// Narrowest column for the text of messages.
const LEAST_TEXT: usize = 8;
/// Things taken in before the screen is drawn again.
const BURST: usize = 256;

/// Chats until the person quits.
///
/// # Errors
/// When the session ends for good, or the terminal does not answer.
pub(super) async fn run(app: App) -> anyhow::Result<()> {
    let terminal = Terminal::enter()?;
    let mut screen = Screen { app, editor: Editor::default(), news: None, back: 0 };
    let result = screen.run().await;
    // The terminal is given back before anything is said about the end.
    drop(terminal);
    screen.app.finish().await.and(result)
}

/// The terminal in the state it is needed in; given back when dropped, also by
/// a panic.
struct Terminal;

impl Terminal {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let terminal = Self;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody can be told if this fails.
        let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = terminal::disable_raw_mode();
    }
}

struct Screen {
    app: App,
    editor: Editor,
    /// The last thing that was to be told.
    news: Option<String>,
    /// Rows scrolled back.
    back: usize,
}

/// A row of the messages: what it says, and in which color.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    name_color: Color,
    text: String,
    tick: &'static str,
    tick_color: Color,
}

impl Screen {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut keys = EventStream::new();
        let mut clock = tokio::time::interval(TICK);
        loop {
            self.take_news();
            self.app.ask_names();
            self.app.watch().await?;
            self.draw()?;
            self.app.shown().await?;
            tokio::select! {
                happening = self.app.next() => {
                    self.app.take(happening).await?;
                    self.take_burst().await?;
                }
                key = keys.next() => match key {
                    Some(event) => {
                        if !self.event(event?).await? {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                },
                _ = clock.tick() => {}
            }
        }
    }

    /// Takes in what else has happened, so that a backlog is drawn once.
    async fn take_burst(&mut self) -> anyhow::Result<()> {
        for _ in 0..BURST {
            let at_once = tokio::time::timeout(Duration::ZERO, self.app.next());
            let Ok(happening) = at_once.await else { break };
            let ended = matches!(happening, Happening::Ended);
            self.app.take(happening).await?;
            if ended {
                break;
            }
        }
        Ok(())
    }

    /// Messages and ticks are seen where they stand; the rest is news.
    fn take_news(&mut self) {
        while let Some(note) = self.app.model.next_note() {
            if let Note::Info(what) = note {
                self.news = Some(what);
            }
        }
    }

    /// Does what an event of the terminal means; whether to go on.
    async fn event(&mut self, event: Event) -> anyhow::Result<bool> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key).await,
            Event::Paste(text) => {
                self.editor.insert(&text);
                self.typed().await.map(|()| true)
            }
            // A resize is drawn like everything else.
            _ => Ok(true),
        }
    }

    async fn key(&mut self, key: KeyEvent) -> anyhow::Result<bool> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Ok(false),
            KeyCode::Char('u') if control => self.editor.delete_to_start(),
            KeyCode::Char('w') if control => self.editor.delete_word(),
            KeyCode::Char('a') if control => self.editor.home(),
            KeyCode::Char('e') if control => self.editor.end(),
            KeyCode::Char(letter) if !control => {
                self.editor.insert(letter.encode_utf8(&mut [0; 4]))
            }
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::End => self.editor.end(),
            KeyCode::PageUp => self.back = self.back.saturating_add(page()?),
            KeyCode::PageDown => self.back = self.back.saturating_sub(page()?),
            KeyCode::Enter => {
                self.back = 0;
                self.news = None;
                let line = self.editor.take();
                return self.app.enter(&line).await;
            }
            _ => return Ok(true),
        }
        self.typed().await.map(|()| true)
    }

    async fn typed(&mut self) -> anyhow::Result<()> {
        let text = self.editor.text();
        let says = !text.is_empty() && !text.starts_with('/');
        self.app.typing(says).await
    }

    fn draw(&mut self) -> io::Result<()> {
        let (columns, rows) = terminal::size()?;
        let wide = usize::from(columns);
        let height = usize::from(rows.saturating_sub(FRAME_ROWS));
        let now = Instant::now();
        let model = &self.app.model;

        let messages = messages(&model.shown(), wide);
        self.back = self.back.min(messages.len().saturating_sub(height));
        let end = messages.len() - self.back;
        let visible = &messages[end.saturating_sub(height)..end];

        let mut out = Vec::new();
        queue!(out, BeginSynchronizedUpdate, Hide)?;
        let dot = if *model.link() == Link::Online { Color::Green } else { Color::Yellow };
        queue!(out, MoveTo(0, 0), Clear(ClearType::CurrentLine), SetForegroundColor(dot))?;
        queue!(out, Print("● "), ResetColor, SetAttribute(Attribute::Bold))?;
        queue!(out, Print(clip(&title(model, now), wide.saturating_sub(2))))?;
        queue!(out, SetAttribute(Attribute::Reset))?;

        let first = height - visible.len();
        for line in 0..height {
            let row = u16::try_from(line + 1).unwrap_or(u16::MAX);
            queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
            if let Some(message) = line.checked_sub(first).and_then(|line| visible.get(line)) {
                message.draw(&mut out)?;
            }
        }
        let status = self.status(now);
        queue!(out, MoveTo(0, rows.saturating_sub(2)), Clear(ClearType::CurrentLine))?;
        queue!(out, SetForegroundColor(Color::DarkGrey), Print(clip(&status, wide)), ResetColor)?;

        let (input, column) = self.editor.view(wide.saturating_sub(2));
        queue!(out, MoveTo(0, rows.saturating_sub(1)), Clear(ClearType::CurrentLine))?;
        queue!(out, Print(clip("> ", wide)), Print(input))?;
        let column = u16::try_from(column + 2).unwrap_or(u16::MAX).min(columns.saturating_sub(1));
        queue!(out, MoveTo(column, rows.saturating_sub(1)), Show, EndSynchronizedUpdate)?;

        let mut stdout = io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }

    /// The line above the input: who types or is there, what was told, what is
    /// unread elsewhere.
    fn status(&self, now: Instant) -> String {
        let model = &self.app.model;
        let mut parts = Vec::new();
        if self.back > 0 {
            parts.push(format!("↑ {} rows back, PageDown returns", self.back));
        }
        let typing = model.typing(now);
        if !typing.is_empty() {
            parts.push(format!("{} is typing…", one_line(&typing.join(", "))));
        } else if let Some(there) = model.who_is_there(Millis::now()) {
            parts.push(one_line(&there));
        }
        let unread = model.unread();
        if !unread.is_empty() {
            let unread = unread.iter().map(|(name, count)| format!("{} ({count})", one_line(name)));
            parts.push(format!("unread: {}", unread.collect::<Vec<_>>().join(", ")));
        }
        parts.extend(self.news.as_deref().map(one_line));
        parts.join("   ")
    }
}

fn title(model: &Model, now: Instant) -> String {
    let with = model
        .current()
        .map_or("nobody yet: /to NAME, or /group NAME".into(), |chat| model.chat_name(chat));
    let me = one_line(model.my_name());
    format!("{me} → {}   {}", one_line(&with), describe(model.link(), now))
}

fn page() -> io::Result<usize> {
    Ok(usize::from(terminal::size()?.1.saturating_sub(FRAME_ROWS + 1)).max(1))
}

/// The messages, broken into rows of this many columns: a column with the
/// names, one with the texts, the ticks behind the last row.
fn messages(shown: &[Shown<'_>], columns: usize) -> Vec<Row> {
    let longest = shown.iter().map(|message| width(&one_line(message.name))).max();
    // The names give way before the text does.
    let names = longest.unwrap_or_default().min(columns.saturating_sub(LEAST_TEXT + 5));
    let mut rows = Vec::new();
    for message in shown {
        let (tick, tick_color) = match message.tick {
            Some(Tick::Sent) => (" ✓", Color::DarkGrey),
            Some(Tick::Delivered) => (" ✓✓", Color::DarkGrey),
            Some(Tick::Read) => (" ✓✓", Color::Cyan),
            None if message.mine => (" …", Color::DarkGrey),
            None => ("", Color::Reset),
        };
        // Room for the longest tick, so that nothing moves when it turns.
        let room = columns.saturating_sub(names + 2 + 3).max(1);
        let text = harmless(&message.text);
        let lines = wrap(&text, room);
        let last = lines.len() - 1;
        for (n, line) in lines.into_iter().enumerate() {
            let name = if n == 0 { clip(&one_line(message.name), names) } else { String::new() };
            let padding = " ".repeat(names.saturating_sub(width(&name)));
            rows.push(Row {
                name: format!("{padding}{name}  "),
                name_color: if message.mine { Color::Blue } else { Color::Magenta },
                text: line.to_owned(),
                tick: if n == last { tick } else { "" },
                tick_color,
            });
        }
    }
    rows
}

impl Row {
    fn draw(&self, out: &mut Vec<u8>) -> io::Result<()> {
        queue!(out, SetForegroundColor(self.name_color), Print(&self.name), ResetColor)?;
        queue!(out, Print(&self.text))?;
        queue!(out, SetForegroundColor(self.tick_color), Print(self.tick), ResetColor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown<'a>(name: &'a str, text: &'a str, tick: Option<Tick>) -> Shown<'a> {
        Shown { name, mine: tick.is_some(), text: text.into(), tick }
    }

    #[test]
    fn ticks_stand_behind_the_last_row() {
        let rows = messages(&[shown("alice", "one two three", Some(Tick::Delivered))], 20);
        let texts: Vec<_> = rows.iter().map(|row| (row.text.as_str(), row.tick)).collect();
        assert_eq!(texts, [("one two", ""), ("three", " ✓✓")]);
        assert_eq!(rows[0].name, "alice  ");
        assert_eq!(rows[1].name, "       ");
        let read = messages(&[shown("a", "x", Some(Tick::Read))], 20);
        let delivered = messages(&[shown("a", "x", Some(Tick::Delivered))], 20);
        assert_ne!(read, delivered, "read looks otherwise than delivered");
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_the_screen(
            name in "[a-z日\u{1b}]{1,40}", text in "[a-z日\u{301}\u{1b} \n]{0,100}", columns in 16..60usize,
        ) {
            for row in messages(&[shown(&name, &text, Some(Tick::Read))], columns) {
                let all = format!("{}{}{}", row.name, row.text, row.tick);
                prop_assert!(width(&all) <= columns, "{all:?}");
                prop_assert!(!all.chars().any(char::is_control));
            }
        }
    }
}
