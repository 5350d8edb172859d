export default () => <p>the app itself</p>
