package io.gantry.simulation.fault;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** How often each kind of fault has struck in each phase of a move. One thread. */
public final class Coverage {
  /** A kind in a phase. */
  public record Pair(FaultKind kind, MovePhase phase) {
    @Override
    public String toString() {
      return kind.title() + " in " + phase;
    }
  }

  private final Set<FaultKind> kinds;
  private final Map<FaultKind, Map<MovePhase, Long>> hits = new EnumMap<>(FaultKind.class);

  /** @param kinds those that are to strike */
  public Coverage(Set<FaultKind> kinds) {
    this.kinds = Set.copyOf(kinds);
    for (var kind : kinds) {
      hits.put(kind, new HashMap<>());
    }
  }

  /** A fault has struck while a move was in that phase. */
  public void hit(FaultKind kind, MovePhase phase) {
    var row = hits.get(kind);
    if (row != null && kind.appliesTo(phase)) {
      row.merge(phase, 1L, Long::sum);
    }
  }

  public long hits(FaultKind kind, MovePhase phase) {
    var row = hits.get(kind);
    return row == null ? 0 : row.getOrDefault(phase, 0L);
  }

  /** How many pairs there are. */
  public int total() {
    return kinds.stream().mapToInt(kind -> kind.phases().size()).sum();
  }

  /** How many pairs were hit. */
  public int hit() {
    return hits.values().stream().mapToInt(Map::size).sum();
  }

  /** Pairs that were never hit. */
  public List<Pair> missed() {
    var missed = new ArrayList<Pair>();
    for (var kind : FaultKind.values()) {
      if (kinds.contains(kind)) {
        kind.phases().stream().filter(phase -> hits(kind, phase) == 0).forEach(phase -> missed.add(new Pair(kind, phase)));
      }
    }
    return missed;
  }

  /** A table in Markdown: a row for each phase, a column for each kind; a dot where a kind cannot strike. */
  public String table() {
    var text = new StringBuilder("| phase |");
    var columns = List.of(FaultKind.values()).stream().filter(kinds::contains).toList();
    columns.forEach(kind -> text.append(' ').append(kind.title()).append(" |"));
    text.append("\n|---|").append("---:|".repeat(columns.size())).append('\n');
    for (var phase : MovePhase.ALL) {
      text.append("| ").append(phase).append(" |");
      for (var kind : columns) {
        text.append(' ').append(kind.appliesTo(phase) ? Long.toString(hits(kind, phase)) : "·").append(" |");
      }
      text.append('\n');
    }
    return text.toString();
  }
}
