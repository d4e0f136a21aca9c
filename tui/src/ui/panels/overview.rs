//! The stream and the team at a glance.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::super::{App, format, roster};
use super::{block, chart, cut, first_shown, gauge, log, plural, team};
use crate::observe::{Pace, PeerSnapshot, Sample, SplitterSnapshot, ratio};

/// Lines of the stream's box.
const STREAM: u16 = 4;
/// A screen so wide has two columns.
const TWO_COLUMNS: u16 = 130;
/// Room for what a chart shows, and for the number.
const LABEL: usize = 8;
const VALUE: usize = 24;
/// Lines of a chart, at most.
const MAX_CHART: u16 = 4;
/// A narrower screen has no room for all columns.
const NARROW: u16 = 80;
/// Lines of the log, at least.
const LOG: u16 = 4;
/// Columns for how full a buffer is, at least and at most.
const GAUGE: (usize, usize) = (4, 20);
/// Losses below this share don't fill a chart.
const LOSS_SCALE: f64 = 0.01;

/// Draws it.
pub(in super::super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let listed = app.snapshot.peers().count().max(app.rows().len()) as u16 + 3;
    if area.width >= TWO_COLUMNS {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(50), Constraint::Min(0)]).areas(area);
        let [stream, numbers] =
            Layout::vertical([Constraint::Length(STREAM), Constraint::Min(0)]).areas(left);
        draw_stream(frame, stream, app);
        draw_numbers(frame, numbers, app);
        let [peers, log] =
            Layout::vertical([Constraint::Max(listed), Constraint::Min(0)]).areas(right);
        draw_peers(frame, peers, app);
        draw_log(frame, log, app);
        return;
    }
    let metrics = metrics(app).len() as u16;
    let rest = area.height.saturating_sub(STREAM + metrics + 2);
    // First the list, then larger charts, then the log.
    let spare = rest.saturating_sub(listed);
    let chart = (1 + spare.saturating_sub(LOG) / metrics.max(1)).min(MAX_CHART);
    let left = rest.saturating_sub(metrics * (chart - 1));
    let list = if left < listed + LOG { left } else { listed };
    let [stream, numbers, peers, log] = Layout::vertical([
        Constraint::Length(STREAM),
        Constraint::Length(2 + metrics * chart),
        Constraint::Length(list),
        Constraint::Min(0),
    ])
    .areas(area);
    draw_stream(frame, stream, app);
    draw_numbers(frame, numbers, app);
    draw_peers(frame, peers, app);
    draw_log(frame, log, app);
}

fn draw_stream(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let snapshot = &app.snapshot;
    let mut lines = Vec::new();
    let stream = match (snapshot.splitter(), snapshot.peers().next()) {
        (Some(splitter), _) => Some(&splitter.stream),
        (None, peer) => peer.map(|peer| &peer.stream),
    };
    let mut aside = String::new();
    match stream {
        Some(stream) => {
            let name = if stream.name.is_empty() { "(no name)" } else { &stream.name };
            let mut spans = vec![Span::styled(format!(" {name}"), app.theme.heading())];
            if !stream.title.is_empty() {
                spans.push(Span::raw(format!(": {}", stream.title)));
            }
            spans.push(Span::raw(format!("  {}", stream.content_type)));
            if let Some(splitter) = snapshot.splitter() {
                spans.extend(source(splitter, app));
            } else if let Some(peer) = snapshot.peers().next() {
                spans.push(Span::raw(format!("  {} is {}", peer.name, peer.state)));
            }
            lines.push(Line::from(spans));
            let places = format!(" {}", places(app).join("   "));
            lines.push(Line::raw(cut(&places, usize::from(area.width.saturating_sub(2)))));
        }
        None => {
            lines.push(Line::raw(" connecting …"));
            "no stream yet".clone_into(&mut aside);
        }
    }
    let block = block("Stream", aside, area.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn source<'a>(splitter: &SplitterSnapshot, app: &App) -> [Span<'a>; 2] {
    let style = match splitter.source_state {
        "up" => app.theme.good(),
        _ => app.theme.bad(),
    };
    [
        Span::styled(format!("  source {}", splitter.source_state), style),
        Span::raw(format!(": {}", splitter.source)),
    ]
}

/// Where to join and where to listen.
fn places(app: &App) -> Vec<String> {
    let mut places = Vec::new();
    let mut players = app.snapshot.peers().filter(|peer| peer.player.is_some());
    if let Some(peer) = players.next() {
        let at = peer.player.map_or_else(String::new, |at| at.to_string());
        places.push(format!("listen at http://{at}/ ({})", plural(peer.players, "player")));
    }
    if let Some(splitter) = app.snapshot.splitter() {
        places.push(format!("join at {}", splitter.addr));
    } else if let Some(peer) = app.snapshot.peers().next() {
        places.push(format!("splitter {}", peer.splitter));
    }
    places
}

/// A line of numbers: what it is, how much, and how it went.
struct Metric {
    label: &'static str,
    value: String,
    bad: bool,
    series: fn(&Sample) -> f64,
    /// The least that fills the chart.
    scale: f64,
}

fn metrics(app: &App) -> Vec<Metric> {
    let snapshot = &app.snapshot;
    let (splitter, alone) = (snapshot.splitter(), roster::alone(snapshot));
    let peers = || snapshot.peers();
    let metric = |label, value, series, scale| Metric { label, value, bad: false, series, scale };
    let mut metrics = Vec::new();
    let (rate_in, rate_out) = match (splitter, alone) {
        (Some(splitter), _) => (splitter.rate_in, splitter.rate_out),
        (None, Some(peer)) => (peer.rate_in, peer.rate_out),
        (None, None) => (0.0, 0.0),
    };
    let (input, output) = if splitter.is_some() { ("in", "out") } else { ("plays", "sends") };
    let value = format::rate(rate_in);
    metrics.push(metric(input, value, |sample: &Sample| sample.rate_in, 0.0));
    let mut value = format::rate(rate_out);
    if let Some(splitter) = splitter {
        value = format!("{value} = {:.2}x", splitter.upload);
    }
    metrics.push(metric(output, value, |sample: &Sample| sample.rate_out, 0.0));
    let value = match (splitter, alone) {
        (Some(splitter), _) => format!("{} of {}", splitter.peers, splitter.max_team),
        (None, Some(peer)) => plural(peer.neighbours, "neighbour"),
        (None, None) => "-".to_owned(),
    };
    metrics.push(metric("team", value, |sample: &Sample| sample.team as f64, 0.0));
    let sum = |count: fn(&PeerSnapshot) -> u64| peers().map(count).sum::<u64>();
    let lost = sum(|peer| peer.counts.chunks_lost);
    let ratio = ratio(lost, lost + sum(|peer| peer.counts.chunks_played));
    metrics.push(Metric {
        label: "lost",
        value: format!("{} ({} chunks)", format::percent(ratio), format::count(lost)),
        bad: lost > 0,
        series: |sample: &Sample| sample.loss,
        scale: LOSS_SCALE,
    });
    let furthest = peers().max_by_key(|peer| peer.latency.latency_chunks);
    let value = furthest.map_or("-".to_owned(), |peer| {
        let ms = peer
            .latency
            .latency_ms
            .map_or(String::new(), |ms| format!(" = {}", format::latency(ms)));
        format!("{} chunks{ms}", peer.latency.latency_chunks)
    });
    metrics.push(metric("behind", value, |sample: &Sample| f64::from(sample.latency_chunks), 0.0));
    let fills: Vec<f64> = peers().filter_map(PeerSnapshot::fill).collect();
    let fill = fills.iter().sum::<f64>() / fills.len().max(1) as f64;
    let value = match (splitter.map(|it| it.buffer_chunks), furthest) {
        (Some(chunks), _) => format!("{:.0} % of {chunks} chunks", fill * 100.0),
        (None, Some(peer)) => {
            format!("{:.0} % of {} chunks", fill * 100.0, peer.buffer.buffer_chunks)
        }
        (None, None) => "-".to_owned(),
    };
    metrics.push(metric("buffer", value, |sample: &Sample| sample.fill, 2.0));
    metrics
}

fn draw_numbers(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let metrics = metrics(app);
    let inside = area.height.saturating_sub(2);
    let height = usize::from((inside / metrics.len() as u16).clamp(1, MAX_CHART));
    let width = usize::from(area.width).saturating_sub(LABEL + VALUE + 5);
    let samples: Vec<&Sample> = app.snapshot.history.samples().collect();
    let mut lines = Vec::new();
    for metric in metrics {
        let series: Vec<f64> = samples.iter().map(|sample| (metric.series)(sample)).collect();
        let shown = &series[series.len().saturating_sub(width)..];
        let most = shown.iter().fold(0.0_f64, |most, value| most.max(*value));
        // What hardly changes runs through the middle.
        let full = metric.scale.max(2.0 * most);
        let style = if metric.bad { app.theme.bad() } else { app.theme.heading() };
        for (line, bars) in chart(shown, width, height, full).into_iter().enumerate() {
            let (label, value) = match line {
                0 => (metric.label, cut(&metric.value, VALUE)),
                _ => ("", String::new()),
            };
            lines.push(Line::from(vec![
                Span::raw(format!(" {label:<LABEL$}")),
                Span::styled(format!("{value:<VALUE$} "), style),
                Span::styled(bars, app.theme.chart()),
            ]));
        }
    }
    let shown = samples.len().min(width);
    let shown = match app.snapshot.history.pace {
        Pace::Second => format::duration(shown as f64),
        Pace::ChunkTime => plural(shown, "chunk time"),
    };
    let aside = format!("last {shown} at the right");
    let block = block("Now and before", aside, area.width, app.theme);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_peers(frame: &mut Frame<'_>, area: Rect, app: &App) {
    // A node alone shows its team; the peers of a demo show themselves.
    if app.snapshot.peers().count() < 2 {
        let rows = app.rows();
        let aside = plural(rows.len(), "member");
        return team::draw_rows(frame, area, app, &rows, "Team", aside);
    }
    let names: Vec<_> = app.rows().iter().map(|row| row.name).collect();
    let peers: Vec<&PeerSnapshot> =
        names.iter().filter_map(|name| app.snapshot.peer(*name)).collect();
    let room = usize::from(area.height.saturating_sub(3));
    let selected = peers.iter().position(|peer| Some(peer.name) == app.selected);
    let first = first_shown(selected.unwrap_or(0), peers.len(), room);
    let places = peers.iter().filter_map(|peer| peer.player).map(|at| at.to_string().len());
    let place = places.max().unwrap_or(0).max("listen at".len());
    let narrow = area.width < NARROW;
    let mut others = vec![5, 8, 6, 10, place];
    others.extend(if narrow { &[][..] } else { &[9, 10] });
    let gaps = others.len() + 2;
    let gauge = usize::from(area.width).saturating_sub(others.iter().sum::<usize>() + gaps);
    let gauge = gauge.clamp(GAUGE.0, GAUGE.1);
    let kept = |column: &usize| !narrow || ![1, 6].contains(column);
    let rows = peers.iter().enumerate().skip(first).take(room).map(|(at, peer)| {
        let cells = peer_row(peer, gauge, app).into_iter().enumerate();
        let row = Row::new(cells.filter(|(column, _)| kept(column)).map(|(_, cell)| cell));
        if Some(at) == selected { row.style(app.theme.selected()) } else { row }
    });
    let heads =
        ["peer", "state", "buffer", "  played", "  lost", "     plays", "     sends", "listen at"];
    let heads = heads.into_iter().enumerate().filter(|(column, _)| kept(column));
    let heads = Row::new(heads.map(|(_, head)| head));
    let widths = [5, 9, gauge, 8, 6, 10, 10, place].into_iter().enumerate();
    let widths = widths.filter(|(column, _)| kept(column));
    let widths = widths.map(|(_, width)| Constraint::Length(width as u16));
    let hidden = peers.len().saturating_sub(room);
    let aside = match hidden {
        0 => String::new(),
        more => format!("{more} more: ↑ ↓"),
    };
    let table = Table::new(rows, widths)
        .header(heads.style(app.theme.heading()))
        .block(block("Peers", aside, area.width, app.theme));
    frame.render_widget(table, area);
}

fn peer_row<'a>(peer: &PeerSnapshot, width: usize, app: &App) -> [Span<'a>; 8] {
    let plain = ratatui::style::Style::new();
    let lost = peer.counts.chunks_lost;
    [
        Span::styled(peer.name.to_string(), app.theme.origin(peer.name).patch(app.theme.heading())),
        Span::styled(peer.state, if peer.state == "playing" { app.theme.good() } else { plain }),
        Span::styled(gauge(peer.fill().unwrap_or(0.0), width), app.theme.chart()),
        Span::raw(format!("{:>8}", format::count(peer.counts.chunks_played))),
        Span::styled(
            format!("{:>6}", format::count(lost)),
            if lost > 0 { app.theme.bad() } else { plain },
        ),
        Span::raw(format!("{:>10}", format::rate(peer.rate_in))),
        Span::raw(format!("{:>10}", format::rate(peer.rate_out))),
        Span::raw(peer.player.map_or("-".to_owned(), |at| at.to_string())),
    ]
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let room = usize::from(area.height.saturating_sub(2));
    if room == 0 {
        return;
    }
    let lines = &app.snapshot.log;
    let shown = &lines[lines.len().saturating_sub(room)..];
    let shown: Vec<Line<'_>> = shown.iter().map(|line| log::line_of(line, app)).collect();
    let block = block("Log", String::new(), area.width, app.theme);
    frame.render_widget(Paragraph::new(shown).block(block), area);
}
