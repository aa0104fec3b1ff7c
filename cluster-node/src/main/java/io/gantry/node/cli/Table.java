package io.gantry.node.cli;

import java.util.ArrayList;
import java.util.List;

/** Columns as wide as what is in them. */
public final class Table {
  private final List<String[]> rows = new ArrayList<>();
  private final boolean[] right;

  /** @param headings one per column; a heading that begins with {@code >} makes its column right-aligned */
  public Table(String... headings) {
    right = new boolean[headings.length];
    String[] first = new String[headings.length];
    for (int column = 0; column < headings.length; column++) {
      right[column] = headings[column].startsWith(">");
      first[column] = right[column] ? headings[column].substring(1) : headings[column];
    }
    rows.add(first);
  }

  public Table row(String... cells) {
    if (cells.length != right.length) {
      throw new IllegalArgumentException("a row of " + cells.length + " cells in a table of " + right.length);
    }
    rows.add(cells.clone());
    return this;
  }

  /** The lines, without a line break at the end. */
  @Override
  public String toString() {
    int[] widths = new int[right.length];
    for (String[] row : rows) {
      for (int column = 0; column < widths.length; column++) {
        widths[column] = Math.max(widths[column], row[column].length());
      }
    }
    var text = new StringBuilder();
    for (String[] row : rows) {
      var line = new StringBuilder();
      for (int column = 0; column < widths.length; column++) {
        String space = " ".repeat(widths[column] - row[column].length());
        line.append(column == 0 ? "" : "  ").append(right[column] ? space + row[column] : row[column] + space);
      }
      text.append(text.isEmpty() ? "" : "\n").append(line.toString().stripTrailing());
    }
    return text.toString();
  }
}
