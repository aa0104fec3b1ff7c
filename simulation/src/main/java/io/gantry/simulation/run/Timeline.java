package io.gantry.simulation.run;

import io.gantry.simulation.run.EventLog.Entry;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** Shows what happened in a run whose log has its words. Pure. */
public final class Timeline {
  /** Diagrams of more lines than that are not read. */
  private static final int DIAGRAM_LINES_MAX = 120;

  private static final Set<String> CHATTER =
      Set.of("Holdings", "HoldingsVersion", "HoldingsWanted", "Hello", "Working", "RoundSent", "RoundApplied");

  private Timeline() {}

  /** One line for each thing that happened: time, place, what. */
  public static List<String> lines(EventLog log) {
    return log.entries().stream().map(Timeline::line).toList();
  }

  /** The same without what repeats itself and without the effects that a phase already tells of. */
  public static List<String> summary(EventLog log) {
    return log.entries().stream().filter(Timeline::matters).map(Timeline::line).toList();
  }

  private static boolean matters(Entry entry) {
    return switch (entry.kind()) {
      case MESSAGE, LOST -> !CHATTER.contains(entry.what());
      case EFFECT -> entry.what().startsWith("ledger.");
      case PHASE, FAULT, COPY, USER, VIOLATION -> true;
    };
  }

  private static String line(Entry entry) {
    var where =
        switch (entry.kind()) {
          case MESSAGE -> entry.where() + " → " + entry.other();
          case LOST -> entry.where() + " ↛ " + entry.other();
          case PHASE, EFFECT, FAULT, COPY, USER, VIOLATION -> entry.where();
        };
    var what =
        switch (entry.kind()) {
          case MESSAGE -> entry.what();
          case LOST -> entry.what() + " is lost";
          case PHASE -> "phase " + entry.what();
          case EFFECT -> entry.what();
          case FAULT -> "FAULT " + entry.what();
          case COPY -> "copy " + entry.what();
          case USER -> "user: " + entry.what() + (entry.other().isEmpty() ? "" : " to " + entry.other());
          case VIOLATION -> "BROKEN " + entry.what();
        };
    return String.format(Locale.ROOT, "%12.3f ms  %-6s %s %s", entry.atNs() / 1e6, where, what, entry.about()).stripTrailing();
  }

  /** The last part of the run as a sequence diagram in Mermaid's language. */
  public static String sequenceDiagram(EventLog log) {
    var lines = new ArrayList<String>();
    for (var entry : log.entries()) {
      if (matters(entry)) {
        diagramLine(entry, lines);
      }
    }
    var shown = lines.subList(Math.max(0, lines.size() - DIAGRAM_LINES_MAX), lines.size());
    return "sequenceDiagram\n" + String.join("\n", shown) + "\n";
  }

  private static void diagramLine(Entry entry, List<String> lines) {
    switch (entry.kind()) {
      case MESSAGE -> lines.add(arrow(entry, "->>"));
      case LOST -> lines.add(arrow(entry, "--x"));
      case PHASE -> lines.add("  Note over %s: %s".formatted(entry.where(), entry.what()));
      case EFFECT -> lines.add("  Note over %s: %s".formatted(entry.where(), entry.what().replace("ledger.", "ledger ")));
      case COPY -> lines.add("  Note over %s: %s is %s".formatted(entry.where(), entry.about(), entry.what()));
      case FAULT -> {
        if (!entry.where().isEmpty()) {
          lines.add("  Note over %s: ⚡ %s".formatted(entry.where(), entry.what()));
        }
      }
      case VIOLATION -> {
        var host = someHost(lines);
        if (!host.isEmpty()) {
          lines.add("  Note over %s: ✗ %s".formatted(host, entry.what().replace(';', ',').replace(':', ' ')));
        }
      }
      case USER -> {}
    }
  }

  private static String arrow(Entry entry, String sign) {
    return "  %s%s%s: %s %s".formatted(entry.where(), sign, entry.other(), entry.what(), entry.about()).stripTrailing();
  }

  /** Some host that the diagram has already. */
  private static String someHost(List<String> lines) {
    for (var line : lines.reversed()) {
      if (line.startsWith("  Note over ")) {
        return line.substring("  Note over ".length(), line.indexOf(':'));
      }
    }
    return "";
  }
}
