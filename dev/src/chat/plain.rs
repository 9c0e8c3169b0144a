//! The chat line by line, for a pipe: lines in are said, lines out tell.

use std::{
    io::{self, BufRead as _, Write as _},
    thread,
    time::Duration,
};

use schemas::ChatId;
use tokio::{sync::mpsc, time::sleep};

use super::{
    app::{App, Happening},
    model::{Model, Note},
    text::one_line,
};
use crate::client::Tick;

/// Lines read ahead.
const LINES: usize = 64;
/// Longest wait for the last messages to be sent when the input has ended;
/// then they are kept for the next session.
const LAST_WITHIN: Duration = Duration::from_secs(10);

/// Chats until the input ends or says `/quit`.
///
/// # Errors
/// When the session ends for good.
pub(super) async fn run(mut app: App) -> anyhow::Result<()> {
    let mut lines = read_lines();
    loop {
        tell(&mut app).await?;
        tokio::select! {
            happening = app.next() => app.take(happening).await?,
            line = lines.recv() => match line {
                Some(line) => {
                    if !app.enter(&line).await? {
                        break;
                    }
                }
                None => {
                    send_last(&mut app).await?;
                    break;
                }
            },
        }
    }
    tell(&mut app).await?;
    app.finish().await
}

/// Waits until everything is sent.
async fn send_last(app: &mut App) -> anyhow::Result<()> {
    let timeout = sleep(LAST_WITHIN);
    tokio::pin!(timeout);
    while app.model.any_waits() {
        let happening: Happening = tokio::select! {
            happening = app.next() => happening,
            () = &mut timeout => {
                app.model.inform("not everything is sent yet; it is kept for the next time");
                return Ok(());
            }
        };
        app.take(happening).await?;
        tell(app).await?;
    }
    Ok(())
}

/// Prints what there is to tell; then it counts as shown.
async fn tell(app: &mut App) -> anyhow::Result<()> {
    app.learn_names().await;
    while let Some(note) = app.model.next_note() {
        let line = line(&app.model, &note);
        writeln!(io::stdout(), "{line}")?;
    }
    app.shown().await
}

fn line(model: &Model, note: &Note) -> String {
    match note {
        Note::Said { chat: ChatId::User(_), from, text } => {
            format!("{}: {}", one_line(model.user_name(*from)), one_line(text))
        }
        Note::Said { chat, from, text } => {
            let (from, chat) = (model.user_name(*from), model.chat_name(*chat));
            format!("{} in {}: {}", one_line(from), one_line(&chat), one_line(text))
        }
        Note::Happened { chat, from, event } => {
            let (chat, what) = (model.chat_name(*chat), model.happened(*from, event));
            format!("* {}: {}", one_line(&chat), one_line(&what))
        }
        Note::Ticked { text, tick: Tick::Sent } => format!("✓ {}", one_line(text)),
        Note::Ticked { text, tick: Tick::Delivered } => format!("✓✓ {}", one_line(text)),
        Note::Ticked { text, tick: Tick::Read } => format!("✓✓ read {}", one_line(text)),
        Note::Info(what) => format!("* {}", one_line(what)),
    }
}

/// The lines of the input; a thread reads them, as nothing else can wait for a pipe.
fn read_lines() -> mpsc::Receiver<String> {
    let (line, lines) = mpsc::channel(LINES);
    thread::spawn(move || {
        for text in io::stdin().lock().lines() {
            let Ok(text) = text else { return };
            if line.blocking_send(text).is_err() {
                return;
            }
        }
    });
    lines
}
