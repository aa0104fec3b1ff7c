package io.gantry.simulation.run;

import io.gantry.actors.migration.DestinationRules;
import io.gantry.actors.migration.DestinationTransition;
import io.gantry.actors.migration.Rules;
import io.gantry.actors.migration.SourceRules;
import io.gantry.actors.migration.SourceTransition;
import io.gantry.simulation.fault.MovePhase;
import io.gantry.simulation.fault.MovePhase.Side;
import io.gantry.simulation.host.Life;
import java.util.ArrayList;
import java.util.List;

/** Knows in which phase every move is, on both sides, by watching the functions that decide. One thread. */
final class MoveTracker {
  /** One side of one move. */
  static final class Move {
    final Life life;
    final String host;
    final String peer;
    final String container;
    final String migration;
    MovePhase phase;
    boolean isDoomed;

    Move(Life life, String host, String peer, String container, String migration) {
      this.life = life;
      this.host = host;
      this.peer = peer;
      this.container = container;
      this.migration = migration;
    }

    boolean isSource() {
      return phase.side() == Side.SOURCE;
    }
  }

  /** Is told of each phase that is entered, before what follows from it is done. */
  interface Observer {
    void entered(Move move);

    void ended(Move move, String result);

    /** The actor is about to fail. */
    void failing(Move move);
  }

  /** Thrown into an actor that is to fail. */
  static final class ActorFailure extends RuntimeException {
    private static final long serialVersionUID = 1L;

    ActorFailure() {
      super("The actor was made to fail.", null, false, false);
    }
  }

  private final Observer observer;
  private final List<Move> moves = new ArrayList<>();
  private long begun;

  MoveTracker(Observer observer) {
    this.observer = observer;
  }

  /** Moves that are under way, source and destination each for itself. */
  List<Move> moves() {
    return moves;
  }

  /** How many have been begun on their sources. */
  long begun() {
    return begun;
  }

  void died(Life life) {
    moves.removeIf(move -> move.life == life);
  }

  /** The same rules, watched. */
  Rules watch(Rules rules, Life life) {
    return new Rules(
        plan ->
            new OfSource(
                rules.source().apply(plan),
                new Move(life, plan.source(), plan.destination(), plan.container(), plan.migration())),
        plan ->
            new OfDestination(
                rules.destination().apply(plan),
                new Move(life, plan.destination(), plan.source(), plan.container(), plan.migration())));
  }

  private void at(Move move, Side side, String title, String result) {
    if (move.life.isDead()) {
      return;
    }
    if (title.equals("Ended")) {
      if (moves.remove(move)) {
        observer.ended(move, result);
      }
      return;
    }
    if (move.phase == null) {
      moves.add(move);
    }
    if (move.phase == null || !move.phase.title().equals(title)) {
      move.phase = new MovePhase(side, title);
      observer.entered(move);
    }
  }

  private void failIfDoomed(Move move) {
    if (move.isDoomed && !move.life.isDead()) {
      moves.remove(move);
      observer.failing(move);
      throw new ActorFailure();
    }
  }

  private final class OfSource implements SourceRules {
    private final SourceRules rules;
    private final Move move;

    OfSource(SourceRules rules, Move move) {
      this.rules = rules;
      this.move = move;
    }

    private SourceTransition.Step seen(SourceTransition.Step step) {
      var result = step.phase() instanceof SourceTransition.Ended ended ? ended.result().name() : "";
      at(move, Side.SOURCE, step.phase().title(), result);
      return step;
    }

    @Override
    public SourceTransition.Step begin() {
      begun++;
      return seen(rules.begin());
    }

    @Override
    public SourceTransition.Step recover(SourceTransition.Terms terms, String digest) {
      return seen(rules.recover(terms, digest));
    }

    @Override
    public SourceTransition.Step transition(SourceTransition.Phase phase, SourceTransition.Event event) {
      failIfDoomed(move);
      return seen(rules.transition(phase, event));
    }
  }

  private final class OfDestination implements DestinationRules {
    private final DestinationRules rules;
    private final Move move;

    OfDestination(DestinationRules rules, Move move) {
      this.rules = rules;
      this.move = move;
    }

    private DestinationTransition.Step seen(DestinationTransition.Step step) {
      var result = step.phase() instanceof DestinationTransition.Ended ended ? ended.result().name() : "";
      at(move, Side.DESTINATION, step.phase().title(), result);
      return step;
    }

    @Override
    public DestinationTransition.Step begin() {
      return seen(rules.begin());
    }

    @Override
    public DestinationTransition.Step recover(String digest) {
      return seen(rules.recover(digest));
    }

    @Override
    public DestinationTransition.Step transition(DestinationTransition.Phase phase, DestinationTransition.Event event) {
      failIfDoomed(move);
      return seen(rules.transition(phase, event));
    }
  }
}
