//! Gets a device to chat with: the remembered one, a login, or a registration.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use crossterm::{
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    terminal,
};
use schemas::ErrorCode;

use super::{
    options::Options,
    state::{State, StateFile},
};
use crate::client::{Account, Api, ApiError};

/// Signs in; the account, and what is remembered of it.
///
/// # Errors
/// When the server refuses, or there is no password.
pub(super) async fn sign_in(
    api: &Api,
    options: &Options,
    file: &StateFile,
) -> anyhow::Result<(Account, State)> {
    let remembered = file.load()?;
    if let Some(state) = &remembered {
        match api.refresh(&state.refresh_token).await {
            Ok(account) => return signed_in(account, remembered, file),
            Err(error) if error.code() == Some(ErrorCode::Unauthorized) => {}
            // The session goes on trying; until then messages can be written.
            Err(ApiError::Transport(_)) => {
                let account = Account { api: api.clone(), session: state.tokens() };
                return Ok((account, state.clone()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let password = match &options.password {
        Some(password) => password.clone(),
        None => ask_password(&options.user)?,
    };
    let account = match &remembered {
        Some(state) => login(api, &options.user, &password, state).await?,
        None => login_or_register(api, &options.user, &password).await?,
    };
    signed_in(account, remembered, file)
}

/// Remembers the new tokens, and what was known of this user before.
fn signed_in(
    account: Account,
    remembered: Option<State>,
    file: &StateFile,
) -> anyhow::Result<(Account, State)> {
    let remembered = remembered.filter(|state| state.user == account.user());
    let (saved, people) = remembered.map(|state| (state.saved, state.people)).unwrap_or_default();
    let state = State {
        user: account.user(),
        device: account.device(),
        refresh_token: account.session.refresh_token.clone(),
        saved,
        people,
    };
    file.save(&state)?;
    Ok((account, state))
}

/// With the remembered device if it is still linked, else as a new one.
async fn login(api: &Api, user: &str, password: &str, state: &State) -> anyhow::Result<Account> {
    match api.login(user, password, Some(state.device)).await {
        Err(error) if error.code() == Some(ErrorCode::NotFound) => {
            Ok(api.login(user, password, None).await?)
        }
        account => Ok(account.context("cannot log in")?),
    }
}

async fn login_or_register(api: &Api, user: &str, password: &str) -> anyhow::Result<Account> {
    match api.login(user, password, None).await {
        Err(error) if error.code() == Some(ErrorCode::Unauthorized) => {}
        account => return account.context("cannot log in"),
    }
    // Either the password is wrong, or there is nobody of that name yet.
    match api.register(user, password).await {
        Err(error) if error.code() == Some(ErrorCode::Conflict) => {
            bail!("wrong password for {user}")
        }
        account => account.context("cannot register"),
    }
}

/// Asks at the terminal, without showing what is typed.
fn ask_password(user: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("nobody to ask for a password: give --password or set PETREL_PASSWORD");
    }
    let mut prompt = io::stderr();
    write!(prompt, "password of {user}: ")?;
    prompt.flush()?;
    terminal::enable_raw_mode()?;
    let password = read_hidden();
    terminal::disable_raw_mode()?;
    writeln!(prompt)?;
    password
}

fn read_hidden() -> anyhow::Result<String> {
    let mut password = String::new();
    loop {
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Ok(password),
            KeyCode::Char('c' | 'd') if control => bail!("no password given"),
            KeyCode::Char(letter) if !control => password.push(letter),
            KeyCode::Backspace => {
                password.pop();
            }
            _ => {}
        }
    }
}
