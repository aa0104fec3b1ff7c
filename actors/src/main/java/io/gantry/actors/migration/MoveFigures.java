package io.gantry.actors.migration;

import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.MigrationOutcome.PausePhases;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.MigrationProgress;
import io.gantry.actors.protocol.PeerMessage;
import io.gantry.checkpoint.Capture;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;
import java.util.function.LongSupplier;

/** The numbers of one move, gathered while it goes on. Belongs to one {@link OutgoingMigration}. */
final class MoveFigures {
  private final SourceTransition.Plan plan;
  private final LongSupplier nowNs;
  private final long beginNs;
  private final List<FreezePolicy.Round> rounds = new ArrayList<>();
  private PauseModel.Shape shape = new PauseModel.Shape(1, 1, 1);
  private long residentBytes;
  private long bytesSent;
  private long zeroPages;
  private FreezePolicy.Prediction prediction = new FreezePolicy.Prediction(0, 0);
  private String note = "";
  private List<Finding> warnings = List.of();
  private long freezeBeginNs;
  private long freezeNs;
  private long lastPagesNs;
  private long stateNs;
  private long lastSentNs;
  private long readyNs;
  private long recreateNs;
  private long heldNs;
  private long remoteNs;
  private long activatedNs;
  private long resumeNs;
  private long hauledAtNs;
  private long hauledBytes;

  MoveFigures(SourceTransition.Plan plan, LongSupplier nowNs) {
    this.plan = plan;
    this.nowNs = nowNs;
    this.beginNs = nowNs.getAsLong();
  }

  void inspected(Footprint footprint) {
    shape = new PauseModel.Shape(footprint.processes(), footprint.threads(), footprint.descriptors());
    residentBytes = footprint.residentBytes();
  }

  /** What differs between the hosts; it may be told again. */
  void warned(List<Finding> differences) {
    warnings = differences;
  }

  PauseModel.Shape shape() {
    return shape;
  }

  long elapsedNs() {
    return nowNs.getAsLong() - beginNs;
  }

  static FreezePolicy.Round round(Capture.RoundReport report) {
    return new FreezePolicy.Round(report.pages(), report.zeroPages(), report.bytes(), report.elapsedNs(), report.dirtyPages());
  }

  FreezePolicy.Round roundSent(Capture.RoundReport report, long streamBytes, long streamZeroPages) {
    var round = round(report);
    rounds.add(round);
    bytesSent = streamBytes;
    zeroPages = streamZeroPages;
    return round;
  }

  List<FreezePolicy.Round> rounds() {
    return rounds;
  }

  void predicted(FreezePolicy.Prediction latest) {
    prediction = latest;
  }

  void freezeBegins(FreezePolicy.Prediction last, String why) {
    prediction = last;
    note = why;
    freezeBeginNs = nowNs.getAsLong();
  }

  void frozen(Capture.FreezeReport report) {
    freezeNs = report.elapsedNs();
    // Until then it ran, but for moments.
    freezeBeginNs += report.ranOnNs();
  }

  void lastSent(Capture.LastReport report, long streamBytes, long streamZeroPages) {
    lastPagesNs = report.pagesNs();
    stateNs = report.stateNs();
    bytesSent = streamBytes;
    zeroPages = streamZeroPages;
    lastSentNs = nowNs.getAsLong();
  }

  /** Only the first one counts; it may come again. */
  void ready(PeerMessage.Ready ready) {
    if (readyNs == 0) {
      readyNs = nowNs.getAsLong();
      recreateNs = ready.recreateNs();
      heldNs = ready.heldNs();
      remoteNs = ready.sinceEndNs();
    }
  }

  void activated(PeerMessage.Activated activated) {
    if (activatedNs == 0) {
      activatedNs = nowNs.getAsLong();
      resumeNs = activated.resumeNs();
    }
  }

  /** The pause without its last pages, when it has been seen from beginning to end. */
  OptionalLong learnedFixedNs() {
    return freezeBeginNs == 0 || activatedNs == 0 ? OptionalLong.empty()
        : OptionalLong.of(activatedNs - freezeBeginNs - lastPagesNs);
  }

  /** How far files have come, in words. */
  String hauling(Capture.HaulFigures haul) {
    long now = nowNs.getAsLong();
    double rate = hauledAtNs == 0 ? 0 : (haul.bytes() - hauledBytes) / 1e6 / Math.max(1e-9, (now - hauledAtNs) / 1e9);
    hauledAtNs = now;
    hauledBytes = haul.bytes();
    return String.format(Locale.ROOT, "files: pass %d, %d files, %.1f MB, %.1f MB/s", haul.passes(), haul.files(), haul.bytes() / 1e6, rate);
  }

  MigrationProgress progress(String phase, String sentence) {
    var last = rounds.isEmpty() ? new FreezePolicy.Round(0, 0, 0, 1, 0) : rounds.getLast();
    return new MigrationProgress(
        plan.container(),
        plan.migration(),
        plan.source(),
        plan.destination(),
        phase,
        rounds.size(),
        last.pages(),
        bytesSent,
        residentBytes,
        last.bytesPerSecond(),
        last.dirtyPagesPerSecond(),
        prediction.pauseMs(),
        sentence.isEmpty() ? note : sentence);
  }

  MigrationOutcome outcome(Result result, String reason) {
    return new MigrationOutcome(
        plan.container(),
        plan.source(),
        plan.destination(),
        result,
        reason.isEmpty() && !note.isEmpty() ? "Over the pause budget, because " + note + "." : reason,
        rounds.stream()
            .map(round ->
                new MigrationOutcome.Round(round.pages(), round.bytes(), ms(round.elapsedNs()), round.dirtyPagesPerSecond()))
            .toList(),
        bytesSent,
        zeroPages,
        prediction.pauseMs(),
        pauseMs(),
        ms(elapsedNs()),
        freezeBeginNs == 0 ? PausePhases.NONE : pausePhases(),
        warnings.stream().map(Finding::toString).toList());
  }

  private double pauseMs() {
    if (freezeBeginNs == 0) {
      return 0;
    }
    return ms((activatedNs == 0 ? nowNs.getAsLong() : activatedNs) - freezeBeginNs);
  }

  /**
   * What is not in a part of its own is in {@code transfer} until Ready came and in {@code commit} afterwards, so that the
   * parts make up the pause.
   */
  private PausePhases pausePhases() {
    var sentParts = freezeNs + lastPagesNs + stateNs;
    var recreated = readyNs == 0 ? 0 : Math.max(recreateNs, remoteNs - heldNs);
    var transfer = readyNs == 0 ? (lastSentNs == 0 ? 0 : lastSentNs - freezeBeginNs - sentParts)
        : readyNs - freezeBeginNs - sentParts - recreated - heldNs;
    var commit = activatedNs == 0 ? 0 : activatedNs - readyNs - resumeNs + heldNs;
    return new PausePhases(
        ms(freezeNs), ms(lastPagesNs), ms(stateNs), ms(Math.max(transfer, 0)), ms(recreated), ms(Math.max(commit, 0)),
            ms(resumeNs));
  }

  /** Milliseconds with three digits behind the point. */
  private static double ms(long ns) {
    return Math.round(ns / 1e3) / 1e3;
  }
}
