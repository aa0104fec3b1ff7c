package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.memory.PageSet.Runs;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A process whose stub exists, and those of its descendants that come up in this round. Their stubs are cloned from each other, so that
 * pages shared copy-on-write are sent once and shared again:
 *
 * <ol>
 *   <li>the top's pages are sent, but where its descendants share another frame, that one's content is;
 *   <li>all stubs are cloned;
 *   <li>each descendant's own pages are sent, then the top's own where another content had been sent.
 * </ol>
 *
 * The destination bears processes in the order of its plan of the whole tree, in which families mix. So each step is made for all families before the
 * next one, or a stub would be cloned for another family's sake before its own top's pages are there.
 *
 * <p>A page is inherited when it is in the very frame that was sent at that address and neither side has written it between its
 * protection and a moment after the sending: then its content is what was sent. That is asked after the frames were
 * read and the content sent, so that no write can slip in between. In a frozen container nothing is written.
 *
 * <p>One thread.
 */
final class Family {
  private final SpaceTracker top;
  private final boolean frozen;
  private final PageBatch batch;
  private final Map<Visit, PageSet> contents = new LinkedHashMap<>();
  private final Map<Integer, List<Vma>> reaches = new HashMap<>();
  /** Pages of which the top's stub is lent another frame's content while stubs are cloned. */
  private final PageSet borrowed = new PageSet();
  /** What each descendant's stub has right by being cloned. */
  private final Map<Visit, PageSet> inherited = new HashMap<>();

  Family(Visit top, boolean frozen, PageBatch batch) {
    this.top = top.tracker();
    this.frozen = frozen;
    this.batch = batch;
    reaches.put(top.process().nsPid(), this.top.layout().vmas().stream().filter(Vma::hasPrivatePages).toList());
  }

  /** Adds a descendant, parents first, with all private pages that it has. */
  void add(Visit descendant, PageSet content) {
    contents.put(descendant, content);
    reaches.put(descendant.process().nsPid(), reach(reaches.get(descendant.forkFrom()), descendant.tracker().layout().vmas()));
  }

  /** The mappings that are still the same, and thus keep what they inherit, along the way from the top. */
  private static List<Vma> reach(List<Vma> parent, List<Vma> child) {
    var kept = new ArrayList<Vma>();
    for (var vma : child) {
      for (int i = Vma.firstEndingBehind(parent, vma.start()); i < parent.size() && parent.get(i).start() < vma.end(); i++) {
        if (vma.sameContentAs(parent.get(i))) {
          kept.add(vma.within(Math.max(vma.start(), parent.get(i).start()), Math.min(vma.end(), parent.get(i).end())));
        }
      }
    }
    return kept;
  }

  /** The first step. @param topPages what is new of the top itself */
  void sendShared(PageSet topPages) {
    var comparable = new LinkedHashMap<SpaceTracker, PageSet>();
    contents.forEach(
        (visit, content) -> {
          var pages = new PageSet();
          reaches.get(visit.process().nsPid()).forEach(vma -> content.intersect(vma.start(), vma.end(), pages::add));
          comparable.put(visit.tracker(), pages);
        });
    var census = new FrameCensus(top, comparable);
    census.borrowed().values().forEach(pages -> pages.forEach(borrowed::add));
    batch.from(top.space(), top.pages());
    topPages.forEach((start, end) -> borrowed.missing(start, end, batch::add));
    census.borrowed()
        .forEach(
            (lender, pages) -> {
              batch.from(top.space(), lender.pages());
              pages.forEach(batch::add);
            });
    batch.flush();
    var valid = frozen ? borrowed : validAfterSending(census, borrowed);
    contents.keySet().forEach(visit -> inherited.put(visit, inherited(census.same(visit.tracker()), visit.tracker(), valid)));
  }

  /** The last step, when all stubs have been cloned. */
  void sendOwn() {
    contents.forEach((visit, content) -> sendOwn(visit, content, inherited.get(visit)));
    sendInstead();
  }

  /** Pages of which the top's stub holds what their frame held all the time. */
  private PageSet validAfterSending(FrameCensus census, PageSet borrowed) {
    var fromTop = new PageSet();
    contents.keySet().forEach(
        visit -> census.same(visit.tracker()).forEach((start, end) -> borrowed.missing(start, end, fromTop::add)));
    var valid = top.unchanged(fromTop);
    census.borrowed().forEach((lender, pages) -> lender.unchanged(pages).forEach(valid::add));
    return valid;
  }

  private PageSet inherited(PageSet same, SpaceTracker tracker, PageSet valid) {
    if (frozen) {
      return same;
    }
    var inherited = new PageSet();
    tracker.unchanged(same).forEach((start, end) -> valid.intersect(start, end, inherited::add));
    return inherited;
  }

  private void sendOwn(Visit visit, PageSet content, PageSet inherited) {
    batch.from(visit.tracker().space(), visit.tracker().pages());
    for (var vma : reaches.get(visit.process().nsPid())) {
      // What the stub inherits and the process has not, or not any more.
      var surplus = new PageSet();
      Runs collect = (start, end) -> content.missing(start, end, surplus::add);
      top.sent().intersect(vma.start(), vma.end(), collect);
      borrowed.intersect(vma.start(), vma.end(), collect);
      surplus.forEach(vma.backed() ? batch::add : batch::zero);
    }
    content.forEach((start, end) -> inherited.missing(start, end, batch::add));
    batch.flush();
  }

  /** Where the top's stub was lent other content, its own. */
  private void sendInstead() {
    batch.from(top.space(), top.pages());
    for (var vma : top.layout().vmas()) {
      if (vma.hasPrivatePages()) {
        borrowed.intersect(
            vma.start(),
            vma.end(),
            (start, end) -> {
              top.sent().missing(start, end, vma.backed() ? batch::add : batch::zero);
              top.sent().intersect(start, end, batch::add);
            });
      }
    }
    batch.flush();
  }
}
