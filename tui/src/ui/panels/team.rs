//! The members, in a table.

use p2psp_core::{PlayerState, PlayerStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Row as TableRow, Table};

use super::super::roster::{self, Row, Sort};
use super::super::{App, format};
use super::{block, cut, first_shown, plural};

/// A column of the table.
struct Column {
    head: &'static str,
    width: usize,
    /// The narrower the screen, the fewer columns: those of a low rank stay.
    rank: u8,
    sort: Option<Sort>,
    /// Numbers stand at the right.
    number: bool,
    cell: fn(&Row) -> Option<String>,
}

const COLUMNS: &[Column] = &[
    Column {
        head: "peer",
        width: 5,
        rank: 0,
        sort: Some(Sort::Name),
        number: false,
        cell: |row| Some(row.name.to_string()),
    },
    Column {
        head: "role",
        width: 7,
        rank: 12,
        sort: None,
        number: false,
        cell: |row| Some(row.role().to_owned()),
    },
    Column {
        head: "state",
        width: 9,
        rank: 13,
        sort: None,
        number: false,
        cell: |row| row.state.map(str::to_owned),
    },
    Column {
        head: "endpoint",
        width: 15,
        rank: 1,
        sort: None,
        number: false,
        cell: |row| row.endpoint.map(|at| at.to_string()),
    },
    Column {
        head: "age",
        width: 7,
        rank: 8,
        sort: Some(Sort::Age),
        number: true,
        cell: |row| row.age_s.map(format::duration),
    },
    Column {
        head: "received",
        width: 8,
        rank: 3,
        sort: Some(Sort::Received),
        number: true,
        cell: |row| row.received.map(format::count),
    },
    Column {
        head: "sent",
        width: 7,
        rank: 4,
        sort: Some(Sort::Sent),
        number: true,
        cell: |row| row.sent.map(format::count),
    },
    Column {
        head: "lost",
        width: 5,
        rank: 5,
        sort: Some(Sort::Lost),
        number: true,
        cell: |row| row.lost.map(format::count),
    },
    // What a board tells of itself.
    Column {
        head: "sound",
        width: 9,
        rank: 2,
        sort: None,
        number: true,
        cell: |row| row.player.map(sound),
    },
    Column {
        head: "concealed",
        width: 9,
        rank: 6,
        sort: None,
        number: true,
        cell: |row| row.player.map(|player| format::count(player.concealed.into())),
    },
    Column {
        head: "underruns",
        width: 9,
        rank: 7,
        sort: None,
        number: true,
        cell: |row| row.player.map(|player| format::count(player.underruns.into())),
    },
    Column {
        head: "twice",
        width: 6,
        rank: 11,
        sort: Some(Sort::Duplicates),
        number: true,
        cell: |row| row.duplicates.map(format::count),
    },
    Column {
        head: "activity",
        width: 8,
        rank: 10,
        sort: Some(Sort::Activity),
        number: true,
        cell: |row| row.activity.map(|activity| activity.to_string()),
    },
    Column {
        head: "LAN",
        width: 3,
        rank: 9,
        sort: None,
        number: false,
        cell: |row| row.lan.map(|lan| if lan { "yes" } else { "no" }.to_owned()),
    },
    Column {
        head: "origin of",
        width: 9,
        rank: 14,
        sort: None,
        number: true,
        cell: |row| row.origin_of.map(format::count),
    },
    Column {
        head: "complaints",
        width: 10,
        rank: 15,
        sort: None,
        number: true,
        cell: |row| row.complaints.map(|count| count.to_string()),
    },
];

/// How much of it waits to be played.
fn sound(player: PlayerStatus) -> String {
    match player.state {
        PlayerState::Buffering => player.state.name().to_owned(),
        PlayerState::Playing => format::latency(player.level_ms.into()),
    }
}

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rows = app.rows();
    let order = if app.reversed { "falling" } else { "rising" };
    let by = COLUMNS.iter().find(|column| column.sort == Some(app.sort));
    let by = by.map_or("peer", |column| column.head);
    let mut aside = format!("{}, by {by}, {order}", plural(rows.len(), "peer"));
    let mut title = "Team".to_owned();
    if let Some(me) = roster::alone(&app.snapshot) {
        title = format!("Team, as {} sees it", me.name);
        aside = format!("by {by}, {order}");
    }
    draw_rows(frame, area, app, &rows, &title, aside);
}

/// Draws a table of these members.
pub(super) fn draw_rows(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &App,
    rows: &[Row],
    title: &str,
    aside: String,
) {
    let columns = columns(rows, usize::from(area.width.saturating_sub(2)));
    let alone = roster::alone(&app.snapshot).is_some();
    let heads = columns.iter().map(|(column, width)| {
        let head = match column.sort {
            Some(Sort::Received) if alone => "from it",
            Some(Sort::Sent) if alone => "to it",
            _ => column.head,
        };
        let sorted = match (column.sort == Some(app.sort), app.reversed) {
            (false, _) => "",
            (true, false) => "▴",
            (true, true) => "▾",
        };
        // The mark may take the gap to the next column, but no letters.
        let head =
            cut(head, width - usize::from(head.chars().count() == *width && !sorted.is_empty()));
        aligned(format!("{head}{sorted}"), column, *width)
    });
    let header = TableRow::new(heads.collect::<Vec<_>>()).style(app.theme.heading());
    let room = usize::from(area.height.saturating_sub(3));
    let selected = rows.iter().position(|row| Some(row.name) == app.selected);
    let first = first_shown(selected.unwrap_or(0), rows.len(), room);
    let body = rows.iter().enumerate().skip(first).take(room).map(|(at, row)| {
        let cells: Vec<Line<'_>> =
            columns.iter().map(|(column, width)| cell(row, column, *width, app)).collect();
        let line = TableRow::new(cells);
        if Some(at) == selected { line.style(app.theme.selected()) } else { line }
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width as u16));
    let table = Table::new(body, widths).header(header);
    frame.render_widget(table.block(block(title, aside, area.width, app.theme)), area);
}

fn cell<'a>(row: &Row, column: &Column, width: usize, app: &App) -> Line<'a> {
    let text = (column.cell)(row).unwrap_or_else(|| "-".to_owned());
    let style = match column.sort {
        Some(Sort::Name) => app.theme.origin(row.name).patch(app.theme.heading()),
        Some(Sort::Lost) if row.lost.is_some_and(|lost| lost > 0) => app.theme.bad(),
        _ => ratatui::style::Style::new(),
    };
    let line = aligned(cut(&text, width), column, width);
    line.style(style)
}

fn aligned<'a>(text: String, column: &Column, width: usize) -> Line<'a> {
    match column.number {
        true => Line::from(Span::raw(format!("{text:>width$}"))),
        false => Line::from(Span::raw(text)),
    }
}

/// The columns that there is room for, in order, and how wide each is.
fn columns(rows: &[Row], room: usize) -> Vec<(&'static Column, usize)> {
    let longest = rows.iter().filter_map(|row| row.endpoint).map(|at| at.to_string().len()).max();
    let width = |column: &Column| match column.head {
        "endpoint" => longest.unwrap_or(0).clamp(column.width, 47),
        _ => column.width,
    };
    let known = |column: &&Column| rows.iter().any(|row| (column.cell)(row).is_some());
    let mut by_rank: Vec<&Column> = COLUMNS.iter().filter(known).collect();
    by_rank.sort_by_key(|column| column.rank);
    let mut used = 0;
    let fits = |column: &&Column| {
        used += width(column) + 1;
        used <= room + 1
    };
    let chosen: Vec<u8> = by_rank.into_iter().take_while(fits).map(|column| column.rank).collect();
    let shown = COLUMNS.iter().filter(|column| chosen.contains(&column.rank));
    shown.map(|column| (column, width(column))).collect()
}
