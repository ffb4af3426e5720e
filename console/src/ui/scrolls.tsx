import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** A frame that scrolls what is too large for it, by the keyboard, too: reached by Tab while there is something to scroll. */
export function Scrolls(props: { label: string; class: string; children: ComponentChildren }) {
  const frame = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const look = () => {
      const scrolls = element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight;
      if (scrolls) {
        element.tabIndex = 0;
        element.setAttribute('role', 'region');
        element.setAttribute('aria-label', props.label);
      } else {
        for (const name of ['tabindex', 'role', 'aria-label']) element.removeAttribute(name);
      }
    };
    look();
    const watch = new ResizeObserver(look);
    watch.observe(element);
    if (element.firstElementChild !== null) watch.observe(element.firstElementChild);
    return () => watch.disconnect();
  }, [props.label]);
  return (
    <div ref={frame} class={props.class}>
      {props.children}
    </div>
  );
}

/** A text as it stands. */
export function Text(props: { label: string; children: string }) {
  return (
    <Scrolls label={props.label} class="text-frame">
      <pre class="mono">{props.children}</pre>
    </Scrolls>
  );
}
