package io.gantry.simulation.scenario;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Cumulative distributions as an SVG picture. */
final class Plot {
  private static final int WIDTH = 720;
  private static final int HEIGHT = 220;
  private static final int LEFT = 60;
  private static final int BOTTOM = 40;
  private static final int TOP = 30;
  private static final int RIGHT = 20;
  private static final int STEPS = 200;

  private record Curve(String title, Distribution distribution) {}

  private final List<Curve> curves = new ArrayList<>();

  Plot add(String title, Distribution distribution) {
    curves.add(new Curve(title, distribution));
    return this;
  }

  String svg() {
    var text = new StringBuilder();
    line(
        text, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">",
        WIDTH, HEIGHT * curves.size());
    line(text, "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>");
    for (var i = 0; i < curves.size(); i++) {
      draw(text, curves.get(i), i * HEIGHT);
    }
    return text.append("</svg>\n").toString();
  }

  private static void draw(StringBuilder text, Curve curve, int top) {
    var all = curve.distribution();
    var high = Math.max(all.max(), 1e-9);
    var base = top + HEIGHT - BOTTOM;
    var plotHeight = HEIGHT - BOTTOM - TOP;
    var plotWidth = WIDTH - LEFT - RIGHT;
    line(text, "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">%s (%d moves)</text>", LEFT, top + 18, curve.title(), all.count());
    for (var quarter = 0; quarter <= 4; quarter++) {
      var y = base - plotHeight * quarter / 4;
      line(text, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#ddd\"/>", LEFT, y, WIDTH - RIGHT, y);
      line(text, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d %%</text>", LEFT - 6, y + 4, 25 * quarter);
      var x = LEFT + plotWidth * quarter / 4;
      line(text, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>", x, base + 18, number(high * quarter / 4));
    }
    var points = new StringBuilder();
    for (var step = 0; step <= STEPS && all.count() > 0; step++) {
      var share = step / (double) STEPS;
      points.append(String.format(Locale.ROOT, "%.1f,%.1f ", LEFT + plotWidth * all.at(share) / high, base - plotHeight * share));
    }
    line(text, "<polyline fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\" points=\"%s\"/>", points.toString().strip());
    for (var mark : new double[] {0.5, 0.95, 0.99}) {
      var x = LEFT + plotWidth * all.at(mark) / high;
      var y = base - plotHeight * mark;
      line(text, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"#c0392b\"><title>p%.0f %s</title></circle>", x, y, mark * 100,
          number(all.at(mark)));
    }
  }

  private static String number(double value) {
    var format = value >= 1e6 ? "%.3g" : value >= 100 ? "%.0f" : "%.1f";
    return String.format(Locale.ROOT, format, value);
  }

  private static void line(StringBuilder text, String format, Object... values) {
    text.append(String.format(Locale.ROOT, format, values)).append('\n');
  }
}
